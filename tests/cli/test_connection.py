"""Which server is asked, and what is said when none answers: the leader is followed, the dead are passed by."""

import socket
from collections.abc import Iterator

import grpc
import pytest

from tallymq.proto import admin_pb2 as admin
from tests.cli import replies
from tests.cli.canned import Bare, Canned, Hang, Refuse, canned_server
from tests.cli.conftest import Tallymq

CREATED = admin.CreateTopicReply(topic=replies.topic())


@pytest.fixture
def other() -> Iterator[Canned]:
    with canned_server() as canned:
        yield canned


@pytest.fixture
def dead() -> Iterator[str]:
    """An address that nobody listens at, kept so while the test runs."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def test_the_leader_is_followed(tallymq: Tallymq, server: Canned, other: Canned) -> None:
    server.will("CreateTopic", Refuse("NOT_LEADER", leader_address=other.address))
    other.will("CreateTopic", CREATED)
    assert tallymq("topic", "create", "transfers").code == 0
    assert (len(server.asked["CreateTopic"]), len(other.asked["CreateTopic"])) == (1, 1)


def test_two_nodes_that_name_each_other_do_not_hold_us_for_ever(bare: Tallymq, server: Canned, other: Canned) -> None:
    server.will("CreateTopic", Refuse("NOT_LEADER", leader_address=other.address))
    other.will("CreateTopic", Refuse("NOT_LEADER", leader_address=server.address))
    addresses = f"{server.address},{other.address}"
    failed = bare("--server", addresses, "--timeout", "2s", "topic", "create", "transfers", "-o", "json")
    assert failed.code == 5
    assert failed.error["name"] == "NOT_LEADER"
    assert failed.error["definite"] is True
    assert len(server.asked["CreateTopic"]) + len(other.asked["CreateTopic"]) < 30


def test_an_election_is_waited_for(tallymq: Tallymq, server: Canned) -> None:
    server.will("CreateTopic", Refuse("NOT_LEADER"), Refuse("NOT_LEADER"), CREATED)
    assert tallymq("topic", "create", "transfers").code == 0


def test_a_dead_server_is_passed_by(bare: Tallymq, server: Canned, dead: str) -> None:
    server.will("CreateTopic", CREATED)
    assert bare("--server", f"{dead},{server.address}", "topic", "create", "transfers").code == 0


def test_a_leader_that_cannot_be_reached_is_passed_by(tallymq: Tallymq, server: Canned, dead: str) -> None:
    server.will("CreateTopic", Refuse("NOT_LEADER", leader_address=dead), CREATED)
    assert tallymq("topic", "create", "transfers").code == 0


def test_nobody_at_home_is_unavailable_and_certain(bare: Tallymq, dead: str) -> None:
    failed = bare("--server", dead, "topic", "create", "transfers")
    assert failed.code == 5
    assert failed.err == (
        f"error: No server can be reached: {dead} (connection refused).\n"
        "  code: UNAVAILABLE\n"
        "  hint: Is a node running there? Compare --server and the TLS options (--tls-ca).\n"
        "  It certainly did not happen.\n"
    )


def test_a_server_that_does_not_answer_in_time_leaves_it_open(tallymq: Tallymq, server: Canned) -> None:
    server.will("CreateTopic", Hang())
    failed = tallymq("topic", "create", "transfers", "--timeout", "300ms", "-o", "json")
    assert failed.code == 5
    assert (failed.error["name"], failed.error["definite"]) == ("DEADLINE_EXCEEDED", False)


def test_a_refusal_after_an_open_attempt_is_not_certain(bare: Tallymq, server: Canned, other: Canned) -> None:
    server.will("CreateTopic", Refuse("OUTCOME_UNKNOWN"))
    other.will("CreateTopic", Refuse("TOPIC_DELETING"))
    failed = bare("--server", f"{server.address},{other.address}", "topic", "create", "transfers", "-o", "json")
    assert failed.code == 4
    assert (failed.error["name"], failed.error["definite"]) == ("TOPIC_DELETING", False)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Refuse("FOREIGN_HANDLE"), 6),
        (Refuse("CERTIFICATE_REQUIRED"), 6),
        (Refuse("OVERLOADED"), 5),
        (Refuse("SHUTTING_DOWN"), 5),
        (Refuse("ILLEGAL_NAME"), 4),
        (Refuse("INTERNAL_ERROR"), 1),
        (Refuse("BODY_DAMAGED"), 1),
        (Bare(grpc.StatusCode.PERMISSION_DENIED), 6),
        (Bare(grpc.StatusCode.UNIMPLEMENTED), 1),
        (Bare(grpc.StatusCode.INTERNAL, "what a proxy says"), 1),
    ],
)
def test_every_kind_of_failure_has_its_exit_code(tallymq: Tallymq, server: Canned, answer: object, code: int) -> None:
    server.will("CreateTopic", answer)
    assert tallymq("topic", "create", "transfers").code == code


@pytest.mark.parametrize(
    "words",
    [
        ("--server", "no port here"),
        ("--server", "localhost:99999"),
        ("--timeout", "5"),
        ("--timeout", "0"),
        ("--tls-cert", "x.pem"),
        ("--tls-cert", "x.pem", "--tls-key", "y.pem"),
        ("--tls-ca", "there-is-no-such-file.pem"),
        ("-o", "yaml"),
    ],
)
def test_a_global_option_that_makes_no_sense_is_usage(bare: Tallymq, words: tuple[str, ...]) -> None:
    wrong = bare(*words, "topic", "list")
    assert wrong.code == 2
    assert "Traceback" not in wrong.err


def test_global_options_may_stand_last_and_come_from_the_environment(
    bare: Tallymq, server: Canned, dead: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.will("ListTopics", admin.ListTopicsReply())
    monkeypatch.setenv("TALLYMQ_SERVER", server.address)
    monkeypatch.setenv("TALLYMQ_OUTPUT", "json")
    assert bare("topic", "list").data == []
    assert bare("topic", "list", "--server", dead).code == 5
