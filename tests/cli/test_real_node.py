"""The program against a real node, from a topic's creation to an operator's decision; and against a cluster."""

import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from tallymq.proto import messaging_pb2 as messaging
from tallymq.proto.messaging_pb2_grpc import MessagingStub
from tests.cli.conftest import Outcome, Tallymq
from tests.support.nodes import Cluster

GROUP = "bank"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster.create(tmp_path_factory.mktemp("node"), node_count=1) as made:
        made.start()
        yield made


@pytest.fixture
def node(bare: Tallymq, cluster: Cluster) -> Tallymq:
    """Runs the program against the real node, for programs to read."""
    return lambda *words: bare("--server", cluster.addresses, "--timeout", "60s", "-o", "json", *words)


@pytest.fixture
def stub(cluster: Cluster) -> Iterator[MessagingStub]:
    with grpc.insecure_channel(cluster.addresses) as channel:
        yield MessagingStub(channel)


@pytest.fixture
def topic(node: Tallymq) -> str:
    name = f"t-{secrets.token_hex(4)}"
    assert node("topic", "create", name, "--queues", "4").code == 0
    return name


def prepare(stub: MessagingStub, topic: str, count: int) -> list[str]:
    """Store that many half messages; return their transaction ids."""
    records = [messaging.Record(body=b"secret %d" % number) for number in range(count)]
    header = messaging.BatchHeader(topic=topic, record_lengths=[record.ByteSize() for record in records])
    instance = secrets.randbits(64) or 1
    request = messaging.PrepareRequest(
        identity=messaging.FrameIdentity(instance=instance, sequence=5),
        producer_group=GROUP,
        batches=[messaging.Batch(header=header, records=messaging.RecordBatch(records=records))],
        check_after_ms=3_600_000,
    )
    stub.Prepare(request, timeout=60)
    return [f"{instance:016x}{5:08x}{position:08x}" for position in range(count)]


def eventually(look: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 60
    while not look():
        assert time.monotonic() < end, f"never: {what}"
        threading.Event().wait(0.05)


def test_a_topic_from_creation_to_deletion(node: Tallymq, topic: str) -> None:
    assert topic in [item["name"] for item in node("topic", "list").data]
    shown = node("topic", "show", topic).data
    assert (shown["queue_count"], [queue["queue"] for queue in shown["queues"]]) == (4, [0, 1, 2, 3])
    assert node("topic", "create", topic, "--queues", "4").code == 0, "making it again is harmless"
    other = node("topic", "create", topic, "--queues", "5")
    assert (other.code, other.error["name"]) == (4, "TOPIC_EXISTS")
    assert node("topic", "delete", topic, "--yes").code == 0
    gone = node("topic", "show", topic)
    assert (gone.code, gone.error["name"]) == (3, "UNKNOWN_TOPIC")


def test_what_is_published_is_what_tail_and_get_show(node: Tallymq, topic: str) -> None:
    published = [node("message", "publish", topic, body, "--key", "k", "--tag", "x", "--header", "n=v").data
                 for body in ("one", "two", "三")]  # fmt: skip
    assert [item["offset"] for item in published] == [0, 1, 2]
    assert len({item["queue"] for item in published}) == 1
    lines = node("message", "tail", topic).out.splitlines()
    tailed = [Outcome(0, line, "").data for line in lines]
    assert [(item["message_id"], item["offset"]) for item in tailed] == [
        (item["message_id"], item["offset"]) for item in published
    ]
    assert [item["body"] for item in tailed] == ["one", "two", "三"]
    got = node("message", "get", published[2]["message_id"]).data
    assert (got["state"], got["body"], got["key"], got["tag"]) == ("published", "三", "k", "x")
    assert got["headers"][0]["name"] == "n"
    assert node("message", "get", published[2]["message_id"], "--raw").out == "三"


def test_tail_shows_the_last_ones_only(node: Tallymq, topic: str) -> None:
    for number in range(5):
        assert node("message", "publish", topic, str(number)).code == 0
    lines = node("message", "tail", topic, "-n", "2").out.splitlines()
    assert [Outcome(0, line, "").data["body"] for line in lines] == ["3", "4"]


def test_tail_follows_what_comes_until_ctrl_c(node: Tallymq, cluster: Cluster, topic: str) -> None:
    assert node("message", "publish", topic, "before").code == 0
    words = ("--server", cluster.addresses, "-o", "json", "message", "tail", topic, "-n", "1", "-f")
    following = subprocess.Popen(
        (sys.executable, "-P", "-m", "tallymq.cli", *words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    # A test that hangs here would tell nothing: whatever happens, the reading below ends.
    rescue = threading.Timer(60, following.kill)
    rescue.start()
    try:
        assert following.stdout is not None
        assert Outcome(0, following.stdout.readline(), "").data["body"] == "before"
        for number in range(8):
            assert node("message", "publish", topic, str(number), "--key", str(number)).code == 0
        seen = {Outcome(0, following.stdout.readline(), "").data["body"] for _ in range(8)}
        assert seen == {str(number) for number in range(8)}
        assert node("message", "publish", topic, "last").code == 0
        assert Outcome(0, following.stdout.readline(), "").data["body"] == "last", "nothing is printed twice"
        following.send_signal(signal.SIGINT)
        out, err = following.communicate(timeout=60)
    finally:
        rescue.cancel()
        following.kill()
    assert (following.returncode, out, err) == (130, "", "Interrupted.\n")


def test_a_delayed_message_waits(node: Tallymq, topic: str) -> None:
    assert node("message", "publish", topic, "later", "--delay", "1h").data["offset"] is None
    assert sum(queue["delayed"] for queue in node("topic", "show", topic).data["queues"]) == 1
    assert node("message", "tail", topic).out == ""


def test_an_operator_decides_what_is_in_doubt(node: Tallymq, stub: MessagingStub, topic: str) -> None:
    first, second, third = prepare(stub, topic, 3)
    listed = node("transaction", "list", "--in-doubt", "--group", GROUP).data
    assert {first, second, third} <= {item["transaction_id"] for item in listed}
    assert node("transaction", "list", "--in-doubt", "--older", "1h").data == []
    half = node("message", "get", first).data
    assert (half["state"], half["body"]) == ("in_doubt", None)

    assert node("transaction", "check", first).data == [{"transaction_id": first, "sessions": 0}]
    committed = node("transaction", "commit", first, "--reason", "in the ledger", "--operator", "li", "--yes").data
    assert (committed[0]["state"], committed[0]["decided_by"]) == ("committed", "operator li: in the ledger")
    rolled_back = node("transaction", "rollback", second, "--reason", "not in the ledger", "--yes").data
    assert rolled_back[0]["state"] == "rolled_back"

    again = node("transaction", "rollback", first, "--reason", "changed my mind", "--yes")
    assert (again.code, again.error["name"], again.error["definite"]) == (4, "ALREADY_COMMITTED", True)
    assert node("transaction", "show", first).data["decided_by"] == "operator li: in the ledger"
    partly = node("transaction", "commit", second, third, "--reason", "x", "--yes")
    assert (partly.code, [item["transaction_id"] for item in partly.data]) == (7, [third])

    def bodies() -> list[str]:
        lines = node("message", "tail", topic).out.splitlines()
        return sorted(Outcome(0, line, "").data["body"] for line in lines)

    eventually(lambda: len(bodies()) == 2, "both committed messages are visible")
    assert bodies() == ["secret 0", "secret 2"]


def test_a_topic_in_doubt_is_not_deleted(node: Tallymq, stub: MessagingStub, topic: str) -> None:
    (half,) = prepare(stub, topic, 1)
    refused = node("topic", "delete", topic, "--yes")
    assert (refused.code, refused.error["name"]) == (4, "TOPIC_IN_DOUBT")
    assert node("transaction", "rollback", half, "--reason", "clearing up", "--yes").code == 0
    assert node("topic", "delete", topic, "--yes").code == 0


def test_a_group_is_shown_where_it_stands(node: Tallymq, stub: MessagingStub, topic: str) -> None:
    group = f"g-{secrets.token_hex(4)}"
    assert node("message", "publish", topic, "poison", "--key", "k").code == 0
    fetch = messaging.FetchRequest(consumer_group=group, topic=topic, consumer=7, wait_ms=30_000)
    (delivery,) = stub.Fetch(fetch, timeout=60).deliveries
    assert group in [item["name"] for item in node("group", "list").data]

    def place() -> dict[str, int]:
        places = node("group", "show", group).data["queues"]
        found: dict[str, int] = next(item for item in places if item["queue"] == delivery.queue)
        return found

    assert (place()["leased"], place()["lag"], place()["topic"]) == (1, 1, topic)
    refused = messaging.NegativeAcknowledgeRequest(consumer_group=group, reason="ValueError: no", dead_letter=True)
    refused.ranges.add(topic=topic, queue=delivery.queue, lease=delivery.lease, first_offset=0, count=1)
    assert list(stub.NegativeAcknowledge(refused, timeout=60).results) == [messaging.LEASE_RESULT_OK]
    (letter,) = node("group", "dead-letters", group, topic).data
    assert (letter["queue"], letter["offset"], letter["attempts"]) == (delivery.queue, 0, 1)
    assert letter["reason"] == "ValueError: no"
    assert (place()["leased"], place()["dead_letters"]) == (0, 1)


def test_what_does_not_exist_is_not_found(node: Tallymq) -> None:
    nobody = "00" * 16
    for words in (("group", "show", "nobody"), ("message", "get", nobody), ("transaction", "show", nobody),
                  ("message", "publish", "nothing", "x"), ("message", "publish", "nothing", "x", "--key", "k"),
                  ("message", "tail", "nothing"), ("topic", "delete", "nothing", "--yes")):  # fmt: skip
        missing = node(*words)
        assert missing.code == 3, words
        assert missing.error["code"].startswith("TMQ-")


def test_a_name_that_is_illegal_is_refused(node: Tallymq) -> None:
    refused = node("topic", "create", "no spaces, please")
    assert (refused.code, refused.error["name"]) == (4, "ILLEGAL_NAME")


def test_the_status_is_that_of_the_node(node: Tallymq, cluster: Cluster) -> None:
    status = node("cluster", "status").data
    assert (status["cluster"], status["node"]) == ("tests", "node-1")
    assert [shard["leader"] for shard in status["shards"]] == ["node-1"] * 4
    assert {shard["health"] for shard in status["shards"]} == {"ok"}
    assert status["nodes"][0]["client_address"] == cluster.addresses


def test_any_node_of_a_cluster_may_be_asked(bare: Tallymq, tmp_path: Path) -> None:
    with Cluster.create(tmp_path, node_count=3) as three:
        three.start()
        for node in three.nodes:
            words = ("--server", node.client_address, "--timeout", "60s", "-o", "json")
            topic = f"from-{node.name}"
            assert bare(*words, "topic", "create", topic, "--queues", "8").code == 0
            for key in range(8):
                assert bare(*words, "message", "publish", topic, "x", "--key", str(key)).code == 0
            assert len(bare(*words, "message", "tail", topic, "-n", "20").out.splitlines()) == 8
        victim = three.node(three.wait_leaders()[0])
        victim.kill()
        everyone = ("--server", three.addresses, "--timeout", "60s")
        assert bare(*everyone, "topic", "create", "after", "--queues", "8").code == 0
