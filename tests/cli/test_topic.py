"""`tallymq topic` does what it says, prints it both ways, and exits as documented."""

from tallymq.proto import admin_pb2 as admin
from tests.cli import replies
from tests.cli.canned import Canned, Refuse
from tests.cli.conftest import Tallymq

TOPIC_JSON = {
    "name": "transfers",
    "id": 7,
    "state": "ready",
    "queue_count": 2,
    "queue_shards": [0, 1],
    "retention_ms": 86_400_000,
    "retention_bytes": 10 * 2**20,
}


def test_create_asks_for_the_topic_as_written(tallymq: Tallymq, server: Canned) -> None:
    server.will("CreateTopic", admin.CreateTopicReply(topic=replies.topic()))
    done = tallymq("topic", "create", "transfers", "--queues", "2", "--retention", "1d", "--retention-bytes", "10MiB",
                   "-o", "json")  # fmt: skip
    assert (done.code, done.data, done.err) == (0, TOPIC_JSON, "")
    settings = admin.TopicSettings(retention_ms=86_400_000, retention_bytes=10 * 2**20)
    assert server.asked["CreateTopic"] == [
        admin.CreateTopicRequest(name="transfers", queue_count=2, settings=settings),
    ]


def test_create_leaves_what_was_not_said_to_the_service(tallymq: Tallymq, server: Canned) -> None:
    server.will("CreateTopic", admin.CreateTopicReply(topic=replies.topic()))
    assert tallymq("topic", "create", "transfers").code == 0
    assert server.asked["CreateTopic"] == [
        admin.CreateTopicRequest(name="transfers", settings=admin.TopicSettings()),
    ]


def test_create_is_refused_where_the_topic_exists_otherwise(tallymq: Tallymq, server: Canned) -> None:
    server.will("CreateTopic", Refuse("TOPIC_EXISTS"))
    refused = tallymq("topic", "create", "transfers")
    assert refused.code == 4
    assert refused.out == ""
    assert refused.err == (
        "error: A topic of this name exists with another number of queues.\n"
        "  code: TMQ-TXN-017 TOPIC_EXISTS\n"
        "  hint: Use it as it is, choose another name, or delete it first.\n"
        "  It certainly did not happen.\n"
    )


def test_list_prints_a_table_for_people(tallymq: Tallymq, server: Canned) -> None:
    server.will("ListTopics", admin.ListTopicsReply(topics=[replies.topic("a"), replies.topic("longer-name")]))
    listed = tallymq("topic", "list")
    assert listed.code == 0
    assert listed.out == (
        "NAME         ID  STATE  QUEUES  KEPT FOR  KEPT PER QUEUE\n"
        "a             7  ready       2        1d        10.0 MiB\n"
        "longer-name   7  ready       2        1d        10.0 MiB\n"
    )


def test_list_goes_on_to_the_last_page(tallymq: Tallymq, server: Canned) -> None:
    first = [replies.topic(f"t{number:04}") for number in range(1000)]
    server.will("ListTopics", admin.ListTopicsReply(topics=first), admin.ListTopicsReply(topics=[replies.topic("u")]))
    listed = tallymq("topic", "list", "-o", "json")
    assert [item["name"] for item in listed.data] == [f"t{number:04}" for number in range(1000)] + ["u"]
    assert [request.after for request in server.asked["ListTopics"]] == ["", "t0999"]


def test_an_empty_list_is_said_on_stderr_and_is_an_empty_array_for_programs(tallymq: Tallymq, server: Canned) -> None:
    server.will("ListTopics", admin.ListTopicsReply())
    people, programs = tallymq("topic", "list"), tallymq("topic", "list", "-o", "json")
    assert (people.code, people.out, people.err) == (0, "", "No topics.\n")
    assert (programs.code, programs.data, programs.err) == (0, [], "")


def test_show_prints_the_queues_in_order(tallymq: Tallymq, server: Canned) -> None:
    server.will("GetTopic", admin.GetTopicReply(topic=replies.topic(with_queues=True)))
    shown = tallymq("topic", "show", "transfers", "-o", "json")
    assert shown.data["queues"] == [
        {"queue": 0, "shard": 0, "leader": "n1", "first_offset": 5, "next_offset": 6, "in_doubt": 0, "delayed": 4,
         "record_bytes": 10},
        {"queue": 1, "shard": 1, "leader": "n2", "first_offset": 0, "next_offset": 2, "in_doubt": 3, "delayed": 0,
         "record_bytes": 2048},
    ]  # fmt: skip
    assert {key: shown.data[key] for key in TOPIC_JSON} == TOPIC_JSON
    people = tallymq("topic", "show", "transfers")
    assert people.code == 0
    assert "NAME:           transfers\n" in people.out
    assert people.out.endswith("    1      1  n2          0     2         3        0  2.0 KiB\n")


def test_show_of_an_unknown_topic_is_not_found(tallymq: Tallymq, server: Canned) -> None:
    server.will("GetTopic", Refuse("UNKNOWN_TOPIC"))
    missing = tallymq("topic", "show", "nothing", "-o", "json")
    assert (missing.code, missing.out) == (3, "")
    assert missing.error == {
        "message": "There is no topic of this name.",
        "code": "TMQ-TXN-010",
        "name": "UNKNOWN_TOPIC",
        "hint": "Make it with `tallymq topic create NAME`, or look for a typing error in `tallymq topic list`.",
        "definite": None,
        "retryable": False,
        "exit_code": 3,
    }


def test_delete_does_not_begin_where_nobody_can_be_asked(tallymq: Tallymq, server: Canned) -> None:
    refused = tallymq("topic", "delete", "transfers")
    assert refused.code == 2
    assert "--yes" in refused.err
    assert server.asked == {}


def test_delete_tells_what_was_done_and_what_was_not(tallymq: Tallymq, server: Canned) -> None:
    server.will("DeleteTopic", admin.DeleteTopicReply(), Refuse("TOPIC_IN_DOUBT"), admin.DeleteTopicReply())
    partly = tallymq("topic", "delete", "a", "b", "c", "--yes", "-o", "json")
    assert partly.code == 7
    assert partly.data == [{"name": "a", "deleted": True}, {"name": "c", "deleted": True}]
    assert partly.error["code"] == "TMQ-TXN-019"
    assert partly.error["message"].startswith("b: ")
    assert "2 of 3 done." in partly.err


def test_delete_of_which_nothing_was_done_exits_as_its_first_refusal(tallymq: Tallymq, server: Canned) -> None:
    server.will("DeleteTopic", Refuse("UNKNOWN_TOPIC"), Refuse("TOPIC_IN_DOUBT"))
    assert tallymq("topic", "delete", "a", "b", "--yes").code == 3


def test_a_retention_that_is_no_duration_is_usage(tallymq: Tallymq, server: Canned) -> None:
    wrong = tallymq("topic", "create", "transfers", "--retention", "7 parsecs")
    assert wrong.code == 2
    assert "is not a duration; write for example 500ms, 10s" in wrong.err
    assert server.asked == {}
