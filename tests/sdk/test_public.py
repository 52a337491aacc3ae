"""What `import tallymq` offers, and the errors it promises."""

import inspect
import subprocess
import sys

import pytest

import tallymq
from tallymq import exceptions
from tallymq.proto.refusals import REFUSALS


def test_exported_members() -> None:
    offered = {name for names in tallymq._HOMES.values() for name in names}
    assert sorted(offered) == sorted(tallymq.__all__)
    for name in tallymq.__all__:
        assert inspect.isclass(getattr(tallymq, name)), name
    assert set(tallymq.__all__) <= set(dir(tallymq))


def test_importing_the_root_is_thin() -> None:
    code = "import sys, tallymq; print([n for n in ('grpclib', 'asyncio', 'google.protobuf') if n in sys.modules])"
    run = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert run.stdout == "[]\n"


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.name)
def test_every_refusal_of_the_service_is_an_exception_that_says_the_same(refusal: object) -> None:
    error = exceptions.refusal_error(refusal.name)
    assert isinstance(error, exceptions.TallyError)
    assert (error.definite, error.retryable) == (refusal.definite, refusal.retryable)
    if refusal.name != "OUTCOME_UNKNOWN":
        assert isinstance(error, exceptions.Refused)
        assert (error.code, error.name, error.hint) == (refusal.code, refusal.name, refusal.hint)
        assert refusal.code in str(error)
        assert refusal.hint in str(error)


def test_a_refusal_of_a_newer_service_keeps_what_it_says() -> None:
    from tallymq.proto import messaging_pb2

    refusal = messaging_pb2.Refusal(name="TOO_NEW", code="TMQ-TXN-999", message="m", hint="h", retryable=True)
    error = exceptions.error_of_refusal(refusal)
    assert type(error) is exceptions.Refused
    assert (error.name, error.code, error.definite, error.retryable) == ("TOO_NEW", "TMQ-TXN-999", False, True)


@pytest.mark.parametrize(
    "url", ["localhost:7070", "http://localhost", "tally://", "tally://host:port", "tally://host:70000", "tally://a,,b"]
)
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(tallymq.ConfigurationError):
        tallymq.Tally(url)


def test_a_missing_checker_is_an_error_at_start_before_anything_is_asked_or_sent() -> None:
    """Nobody listens at the address: what is refused is refused without a connection."""
    import sqlite3

    from sqlalchemy.orm import sessionmaker

    tally = tallymq.Tally("tally://localhost:1", group="bank")
    connection = sqlite3.connect(":memory:")
    for use in (
        tally.start,
        tally.run,
        lambda: tally.transaction(connection),
        lambda: tally.bind(sessionmaker()),
    ):
        with pytest.raises(tallymq.ConfigurationError, match="checker="):
            use()
    connection.close()


async def test_a_missing_checker_is_an_error_at_start_of_an_async_client_too() -> None:
    from sqlalchemy.ext.asyncio import async_sessionmaker

    tally = tallymq.AsyncTally("tally://localhost:1", group="bank")
    for use in (tally.start, tally.run):
        with pytest.raises(tallymq.ConfigurationError, match="checker="):
            await use()
    for bind in (lambda: tally.transaction(object()), lambda: tally.bind(async_sessionmaker())):
        with pytest.raises(tallymq.ConfigurationError, match="checker="):
            bind()


def test_a_client_of_no_group_or_with_a_check_of_its_own_needs_no_checker() -> None:
    tallymq.Tally("tally://localhost:1")._need_answers()
    tally = tallymq.Tally("tally://localhost:1", group="bank")
    tally.check("t")(lambda half: tallymq.Decision.UNKNOWN)
    tally._need_answers()


def test_a_retry_that_makes_no_sense_is_refused() -> None:
    assert (tallymq.Retry(16, "1s..5m").backoff_ms_min, tallymq.Retry(16, "1s..5m").backoff_ms_max) == (1_000, 300_000)
    for attempts, backoff in ((0, "1s"), (1_001, "1s"), (3, "5m..1s"), (3, "soon"), (3, "1s..25h")):
        with pytest.raises(tallymq.ConfigurationError):
            tallymq.Retry(attempts, backoff)
