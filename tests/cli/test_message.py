"""`tallymq message`: what is sent is what was said, and what is shown is what is stored."""

import base64
import io
import sys
from pathlib import Path

import pytest
import xxhash

from tallymq.proto import admin_pb2 as admin
from tallymq.proto import messaging_pb2 as messaging
from tests.cli import replies
from tests.cli.canned import Canned, Refuse
from tests.cli.conftest import Tallymq

IDENTITY = messaging.FrameIdentity(instance=0x5FCA32B1908D4A7E, sequence=7)
STORED = messaging.PublishReply(
    identity=IDENTITY, batches=[messaging.StoredBatch(queue=1, first_offset=41, visible_count=1)]
)


def route(queues: int) -> messaging.RouteReply:
    return messaging.RouteReply(topics=[messaging.RouteTopic(topic="transfers", queue_shards=[0] * queues)])


def sent(server: Canned) -> messaging.Record:
    batch = server.asked["Publish"][-1].batches[0]
    assert list(batch.header.record_lengths) == [record.ByteSize() for record in batch.records.records]
    return batch.records.records[0]


def test_publish_sends_every_part_of_the_message(tallymq: Tallymq, server: Canned) -> None:
    server.will("Publish", STORED)
    done = tallymq("message", "publish", "transfers", "hello", "--tag", "t", "--search-key", "a", "--search-key", "b",
                   "--header", "kind=test", "--header", "sum=1=1", "--priority", "9", "-o", "json")  # fmt: skip
    assert (done.code, done.data) == (
        0,
        {"message_id": "5fca32b1908d4a7e0000000700000000", "topic": "transfers", "queue": 1, "offset": 41},
    )
    record = sent(server)
    assert (record.body, record.tag, list(record.keys), record.priority) == (b"hello", "t", ["a", "b"], 9)
    assert [(header.name, header.value) for header in record.headers] == [("kind", b"test"), ("sum", b"1=1")]
    assert record.born_time_ms > 0
    header = server.asked["Publish"][0].batches[0].header
    assert (header.topic, header.queue_count, list(header.delivery_times_ms)) == ("transfers", 0, [])
    assert server.asked["Publish"][0].identity.instance != 0


def test_publish_with_a_key_chooses_the_queue_of_the_key(tallymq: Tallymq, server: Canned) -> None:
    server.will("Route", route(8))
    server.will("Publish", STORED)
    assert tallymq("message", "publish", "transfers", "hello", "--key", "李雷").code == 0
    header = server.asked["Publish"][0].batches[0].header
    assert (header.queue_count, header.queue) == (8, xxhash.xxh64_intdigest("李雷".encode()) % 8)
    assert sent(server).key == "李雷".encode()


def test_publish_chooses_again_where_the_queue_count_changed(tallymq: Tallymq, server: Canned) -> None:
    server.will("Route", route(2), route(4))
    server.will("Publish", Refuse("QUEUE_COUNT_CHANGED"), STORED)
    assert tallymq("message", "publish", "transfers", "hello", "--key", "k").code == 0
    first, second = server.asked["Publish"]
    assert [ask.batches[0].header.queue_count for ask in (first, second)] == [2, 4]
    assert first.identity.sequence != second.identity.sequence, "another frame must not look like a retry"


def test_publish_with_a_key_to_an_unknown_topic_is_not_found(tallymq: Tallymq, server: Canned) -> None:
    server.will("Route", messaging.RouteReply())
    missing = tallymq("message", "publish", "nothing", "hello", "--key", "k")
    assert missing.code == 3
    assert "UNKNOWN_TOPIC" in missing.err
    assert "Publish" not in server.asked


def test_publish_takes_the_body_from_a_file_byte_for_byte(tallymq: Tallymq, server: Canned, tmp_path: Path) -> None:
    server.will("Publish", STORED)
    body = bytes(range(256))
    (tmp_path / "body").write_bytes(body)
    assert tallymq("message", "publish", "transfers", "--file", str(tmp_path / "body")).code == 0
    assert sent(server).body == body


def test_publish_takes_the_body_from_standard_input(
    tallymq: Tallymq, server: Canned, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.will("Publish", STORED)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\x00piped\xff")))
    assert tallymq("message", "publish", "transfers").code == 0
    assert sent(server).body == b"\x00piped\xff"


def test_a_body_over_the_limit_is_refused_before_it_is_sent(tallymq: Tallymq, server: Canned, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(bytes(4 * 1024 * 1024))
    refused = tallymq("message", "publish", "transfers", "--file", str(tmp_path / "body"))
    assert refused.code == 4
    assert "TMQ-PROTO-011 BATCH_TOO_LARGE" in refused.err
    assert "It certainly did not happen." in refused.err
    assert server.asked == {}


def test_a_delayed_message_has_no_offset_yet(tallymq: Tallymq, server: Canned) -> None:
    waiting = messaging.PublishReply(identity=IDENTITY, batches=[messaging.StoredBatch(queue=1, first_offset=41)])
    server.will("Publish", waiting)
    done = tallymq("message", "publish", "transfers", "hello", "--delay", "1h", "-o", "json")
    assert done.data["offset"] is None
    request = server.asked["Publish"][0]
    born_ms = request.batches[0].records.records[0].born_time_ms
    assert 3_600_000 <= request.batches[0].header.delivery_times_ms[0] - born_ms < 3_700_000


@pytest.mark.parametrize(
    "words", [("hello", "--file", __file__), ("hello", "--header", "kind"), ("x", "--priority", "10")]
)
def test_a_message_that_makes_no_sense_is_usage(tallymq: Tallymq, server: Canned, words: tuple[str, ...]) -> None:
    assert tallymq("message", "publish", "transfers", *words).code == 2
    assert server.asked == {}


def test_a_publish_whose_outcome_is_not_known_says_so(tallymq: Tallymq, server: Canned) -> None:
    server.will("Publish", Refuse("OUTCOME_UNKNOWN"))
    unknown = tallymq("message", "publish", "transfers", "hello")
    assert unknown.code == 5
    assert "It may have happened." in unknown.err


def test_get_shows_what_is_stored(tallymq: Tallymq, server: Canned) -> None:
    server.will("GetMessage", admin.GetMessageReply(topic="transfers", queue=1, record=replies.record(b"\xff\x00")))
    got = tallymq("message", "get", replies.ID, "-o", "json")
    assert got.code == 0
    assert got.data == {
        "message_id": replies.ID,
        "state": "published",
        "topic": "transfers",
        "queue": 1,
        "transaction": None,
        "key": "li-lei",
        "key_base64": base64.b64encode(b"li-lei").decode(),
        "tag": "t",
        "search_keys": [],
        "headers": [{"name": "kind", "value": "test", "value_base64": "dGVzdA=="}],
        "priority": 0,
        "born_time": None,
        "compression": "none",
        "plain_bytes": 2,
        "body": None,
        "body_base64": "/wA=",
    }
    assert "<2 bytes, not text>" in tallymq("message", "get", replies.ID).out


def test_get_raw_writes_the_body_and_nothing_else(tallymq: Tallymq, server: Canned) -> None:
    server.will("GetMessage", admin.GetMessageReply(topic="transfers", record=replies.record("两".encode())))
    assert tallymq("message", "get", replies.ID, "--raw").out == "两"


def test_the_body_of_a_half_in_doubt_is_shown_to_nobody(tallymq: Tallymq, server: Canned) -> None:
    half = admin.GetMessageReply(topic="transfers", queue=1, transaction=replies.transaction())
    server.will("GetMessage", half)
    got = tallymq("message", "get", replies.ID, "-o", "json")
    assert (got.code, got.data["state"], got.data["body"], got.data["body_base64"]) == (0, "in_doubt", None, None)
    assert got.data["transaction"]["transaction_id"] == replies.ID
    assert tallymq("message", "get", replies.ID, "--raw").code == 4


def test_get_of_an_unknown_message_is_not_found(tallymq: Tallymq, server: Canned) -> None:
    server.will("GetMessage", Refuse("UNKNOWN_MESSAGE"))
    assert tallymq("message", "get", replies.ID).code == 3


def test_tail_prints_the_last_messages_of_all_queues_by_time(tallymq: Tallymq, server: Canned) -> None:
    server.will("GetTopic", admin.GetTopicReply(topic=replies.topic(with_queues=True)))
    server.will(
        "Browse",
        admin.BrowseReply(deliveries=[replies.delivery(1, 0, b"a", b"c", time_ms=replies.TIME_MS + 5)], next_offset=2),
        admin.BrowseReply(deliveries=[replies.delivery(0, 5, b"b\n", time_ms=replies.TIME_MS)], next_offset=6),
    )
    tailed = tallymq("message", "tail", "transfers", "-n", "3")
    assert tailed.code == 0
    assert tailed.out == (
        "2026-11-22T16:34:56.123Z  transfers/0@5  li-lei  b\\n\n"
        "2026-11-22T16:34:56.128Z  transfers/1@0  li-lei  a\n"
        "2026-11-22T16:34:56.128Z  transfers/1@1  li-lei  c\n"
    )
    asked = {(ask.queue, ask.offset, ask.records_max) for ask in server.asked["Browse"]}
    assert asked == {(1, 0, 2), (0, 3, 3)}


def test_tail_for_programs_is_an_object_a_line(tallymq: Tallymq, server: Canned) -> None:
    server.will("GetTopic", admin.GetTopicReply(topic=replies.topic(with_queues=True)))
    server.will("Browse", admin.BrowseReply(deliveries=[replies.delivery(1, 0, b"a", b"c")], next_offset=2))
    tailed = tallymq("message", "tail", "transfers", "--queue", "1", "-n", "1", "-o", "json")
    assert tailed.out.count("\n") == 1
    assert (tailed.data["message_id"], tailed.data["offset"], tailed.data["body"]) == (replies.OTHER_ID, 1, "c")


def test_tail_of_a_queue_that_is_none_is_usage(tallymq: Tallymq, server: Canned) -> None:
    server.will("GetTopic", admin.GetTopicReply(topic=replies.topic(with_queues=True)))
    wrong = tallymq("message", "tail", "transfers", "--queue", "9")
    assert wrong.code == 2
    assert "it has 2, from 0" in wrong.err
