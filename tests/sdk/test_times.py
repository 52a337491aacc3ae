"""Times are aware and UTC, whatever came over the wire and wherever the caller's clock is."""

import dataclasses
import secrets
import threading
import time
import typing
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tallymq
from tallymq import HalfMessage, Message, Tally
from tallymq._checks import Checks
from tallymq._consumer import _message
from tallymq._records import outgoing
from tallymq.proto import messaging_pb2, messaging_pb2_grpc
from tests.support.nodes import Cluster
from tests.support.waiting import wait_for

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What the wire's int64 can say: far more than there are years.
UNIX_MS = st.integers(-(2**63), 2**63 - 1)


def delivered(born_ms: int, visible_ms: int) -> Message:
    """A message as a delivery brings it."""
    record = messaging_pb2.Record(born_time_ms=born_ms)
    delivery = messaging_pb2.Delivery(topic="t", visible_time_ms=visible_ms, count=1)
    return _message(delivery, 0, record)


def asked_about(born_ms: int, prepared_ms: int) -> HalfMessage:
    """A half message as a check brings it."""
    check = messaging_pb2.Check(topic="t", prepared_time_ms=prepared_ms)
    return Checks._half(check, "00" * 16, messaging_pb2.Record(born_time_ms=born_ms))


def times_of(kind: type) -> set[str]:
    """The fields of a public type that hold a time."""
    if not dataclasses.is_dataclass(kind):
        return set()
    hints = typing.get_type_hints(kind)
    return {name for name, hint in hints.items() if datetime in (hint, *typing.get_args(hint))}


def test_every_public_type_with_a_time_is_looked_at_here() -> None:
    found = {name: times_of(getattr(tallymq, name)) for name in tallymq.__all__}
    assert {name: times for name, times in found.items() if times} == {
        "Message": {"born_time", "visible_time"},
        "HalfMessage": {"born_time", "prepared_time"},
    }


@given(UNIX_MS, UNIX_MS)
def test_every_time_that_is_given_out_is_aware_and_utc(first: int, second: int) -> None:
    for value, wire in ((delivered(first, second), (first, second)), (asked_about(first, second), (first, second))):
        for name in times_of(type(value)):
            moment: Any = getattr(value, name)
            said = wire[0] if name == "born_time" else wire[1]
            if moment is None:
                assert (name, said) == ("born_time", 0)
                continue
            assert moment.tzinfo is UTC
            if name == "visible_time" and said == 0:
                continue
            if EPOCH < moment < datetime.max.replace(tzinfo=UTC):
                assert (moment - EPOCH) // timedelta(milliseconds=1) == said


@given(
    st.datetimes(datetime(1970, 1, 3), datetime(2026, 1, 1)),  # noqa: DTZ001 - its zone is the next argument
    st.integers(-23 * 60, 23 * 60),
)
def test_a_delivery_time_of_any_zone_is_the_same_moment(naive: datetime, minutes: int) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    sent = outgoing("t", b"", deliver_at=moment).delivery_time_ms
    assert abs(timedelta(milliseconds=sent) - (moment - EPOCH)) <= timedelta(milliseconds=1)
    with pytest.raises(ValueError, match="aware"):
        outgoing("t", b"", deliver_at=naive)


@pytest.mark.parametrize("born_ms", [2**62, -(2**62)])
def test_a_message_born_beyond_all_calendars_stops_no_consumer(cluster: Cluster, topic: str, born_ms: int) -> None:
    record = messaging_pb2.Record(born_time_ms=born_ms, body=b"from afar")
    header = messaging_pb2.BatchHeader(topic=topic, queue=0, queue_count=4, record_lengths=[record.ByteSize()])
    batch = messaging_pb2.Batch(header=header, records=messaging_pb2.RecordBatch(records=[record]))
    deadline_ms = int(time.time() * 1000) + 60_000
    identity = messaging_pb2.FrameIdentity(instance=secrets.randbits(63) + 1, sequence=1, deadline_ms=deadline_ms)
    with grpc.insecure_channel(cluster.nodes[0].client_address) as channel:
        request = messaging_pb2.PublishRequest(identity=identity, batches=[batch])
        messaging_pb2_grpc.MessagingStub(channel).Publish(request, timeout=30)
    seen: list[Message] = []
    lock = threading.Lock()
    with Tally(cluster.url) as tally:

        @tally.consumer(topic, group="calendar")
        def handle(message: Message) -> None:
            with lock:
                seen.append(message)

        tally.start()
        tally.publish(topic, b"from here")
        wait_for("both", lambda: len(seen) >= 2)
    assert {message.body for message in seen} == {b"from afar", b"from here"}
