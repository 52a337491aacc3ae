"""When the certificates that this node shows end. Read once, at the start, as the certificates themselves are."""

from __future__ import annotations

from pathlib import Path

import structlog
from cryptography import x509

from tallymq.proto import admin_pb2
from tallymq.service.settings import ServerSettings

TO_PEERS, TO_CLIENTS = "peers", "clients"

log = structlog.get_logger("tallymq.service.certificates")


def certificates(settings: ServerSettings) -> tuple[admin_pb2.CertificateStatus, ...]:
    """Return to whom this node shows a certificate and when it, or one it comes with, ends."""
    files = ((TO_PEERS, settings.peer_certificate), (TO_CLIENTS, settings.server_certificate))
    return tuple(
        admin_pb2.CertificateStatus(shown_to=shown_to, end_time_ms=ends_ms)
        for shown_to, path in files
        if path is not None and (ends_ms := _ends_ms(path))
    )


def _ends_ms(path: Path) -> int:
    try:
        chain = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        # It was good enough for OpenSSL a moment ago: no reason not to serve.
        log.warning("cannot tell when a certificate ends", file=str(path), error=str(error))
        return 0
    return min(int(certificate.not_valid_after_utc.timestamp() * 1_000) for certificate in chain)
