"""What the service would refuse about one record is refused before it is joined with others."""

from datetime import UTC, datetime, timedelta

import pytest

from tallymq import exceptions
from tallymq._records import outgoing
from tallymq.proto import messaging_pb2

BAD = {
    "KeyTooLong": {"key": "k" * 1_025},
    "TagTooLong": {"tag": "t" * 256},
    "IllegalSearchKeys": {"keys": ["k"] * 17},
    "TooManyHeaders": {"headers": {f"h{number}": "" for number in range(129)}},
    "IllegalHeaderName": {"headers": {"": "x"}},
    "HeadersTooLarge": {"headers": {"h": b"x" * 32_768}},
    "IllegalRecord": {"priority": 10},
    "DeliveryTimeTooFar": {"deliver_at": datetime.now(UTC) + timedelta(days=41)},
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_record_is_refused_by_the_services_own_name(name: str) -> None:
    with pytest.raises(getattr(exceptions, name)):
        outgoing("t", b"", **BAD[name])


@pytest.mark.parametrize("topic", ["", "a b", "a/b/c", "/a", "é", "x" * 256])
def test_a_bad_topic_name_is_refused(topic: str) -> None:
    with pytest.raises(exceptions.IllegalName):
        outgoing(topic, b"")


def test_a_body_too_large_for_a_batch_is_refused() -> None:
    with pytest.raises(exceptions.BatchTooLarge):
        outgoing("t", b"x" * 4_128_768)


@pytest.mark.parametrize(
    ("body", "encoded", "content_type"),
    [
        (b"\x00\xff", b"\x00\xff", None),
        ("é", "é".encode(), b"text/plain; charset=utf-8"),
        ({"a": [1, None, "é"]}, '{"a":[1,null,"é"]}'.encode(), b"application/json"),
    ],
)
def test_a_body_is_bytes_text_or_json(body: object, encoded: bytes, content_type: bytes | None) -> None:
    record = messaging_pb2.Record.FromString(outgoing("t", body).record)
    assert record.body == encoded
    assert {header.name: header.value for header in record.headers}.get("content-type") == content_type
    assert record.born_time_ms > 0


@pytest.mark.parametrize("body", [object(), float("nan"), {"a": {1, 2}}])
def test_what_json_cannot_hold_is_a_type_error(body: object) -> None:
    with pytest.raises(TypeError):
        outgoing("t", body)


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        outgoing("t", b"", deliver_at=datetime.now())  # noqa: DTZ005 - that is the mistake
