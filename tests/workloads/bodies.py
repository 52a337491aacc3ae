"""Bodies that say which message they are, so that whoever sees one knows whether it is what was sent."""

import hashlib
import secrets
import time

from tests.workloads.history import Decision

BODY_BYTES_MAX = 600


def now_us() -> int:
    """Microseconds of the clock that all processes of this machine share and nobody sets."""
    return time.monotonic_ns() // 1_000


def make_body(message_id: str) -> bytes:
    """Bytes that begin with the id."""
    return f"{message_id}:{secrets.token_hex(secrets.randbelow(BODY_BYTES_MAX) // 2)}".encode()


def id_of(body: bytes) -> str:
    """The id a body says, or a name for what says none."""
    head, colon, _ = body.partition(b":")
    return head.decode("ascii", "replace") if colon else f"no message of ours: {digest(body)}"


def digest(body: bytes) -> str:
    """Stands for exactly these bytes."""
    return hashlib.blake2b(body, digest_size=8).hexdigest()


def verdict(message_id: str) -> Decision:
    """What becomes of a transaction, as its producer's database would say: known to whoever knows the id."""
    share = hashlib.blake2b(message_id.encode(), digest_size=1).digest()[0]
    return Decision.COMMITTED if share < 180 else Decision.ROLLED_BACK
