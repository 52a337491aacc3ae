"""`tallymq transaction`: who is in doubt, who decided, and deciding by hand."""

import getpass

import pytest

from tallymq.proto import admin_pb2 as admin
from tests.cli import replies
from tests.cli.canned import Canned, Refuse
from tests.cli.conftest import Tallymq

IN_DOUBT_JSON = {
    "transaction_id": replies.ID,
    "state": "in_doubt",
    "topic": "transfers",
    "queue": 1,
    "producer_group": "bank",
    "prepared_time": replies.TIME,
    "checks": 2,
    "next_check_time": "2026-11-22T16:34:57.123Z",
    "decided_by": None,
    "decided_time": None,
    "handle": {
        "shard": 2,
        "index": 91,
        "batch": 1,
        "record": 3,
        "instance": "5fca32b1908d4a7e",
        "sequence": 7,
    },
}


def test_list_hands_its_filters_to_the_service(tallymq: Tallymq, server: Canned) -> None:
    server.will("ListTransactions", admin.ListTransactionsReply(transactions=[replies.transaction()], in_doubt_total=1))
    listed = tallymq("transaction", "list", "--in-doubt", "--older", "10m", "--group", "bank", "-o", "json")
    assert (listed.code, listed.data) == (0, [IN_DOUBT_JSON])
    assert server.asked["ListTransactions"] == [
        admin.ListTransactionsRequest(in_doubt=True, older_ms=600_000, producer_group="bank", limit=100),
    ]


def test_list_prints_a_table_and_says_how_many_are_in_doubt(tallymq: Tallymq, server: Canned) -> None:
    server.will("ListTransactions", admin.ListTransactionsReply(transactions=[replies.transaction()], in_doubt_total=1))
    listed = tallymq("transaction", "list")
    assert listed.out == (
        "TRANSACTION                       STATE     TOPIC      QUEUE  GROUP  "
        "PREPARED                  CHECKS  DECIDED BY\n"
        f"{replies.ID}  in_doubt  transfers      1  bank   {replies.TIME}       2  -\n"
    )
    assert listed.err == "1 in doubt in all.\n"


def test_list_follows_the_pages_up_to_its_limit(tallymq: Tallymq, server: Canned) -> None:
    page = admin.ListTransactionsReply(transactions=[replies.transaction()] * 1000, next=b"on", in_doubt_total=5000)
    server.will("ListTransactions", page)
    listed = tallymq("transaction", "list", "--limit", "2000", "-o", "json")
    assert len(listed.data) == 2000
    assert [(ask.limit, ask.after) for ask in server.asked["ListTransactions"]] == [(1000, b""), (1000, b"on")]
    assert "There are more than 2000" in listed.err


def test_show_tells_who_decided_and_why(tallymq: Tallymq, server: Canned) -> None:
    decided = replies.transaction(state=admin.TRANSACTION_STATE_ROLLED_BACK)
    server.will("GetTransaction", admin.GetTransactionReply(transaction=decided))
    shown = tallymq("transaction", "show", replies.ID)
    assert shown.code == 0
    assert "DECIDED BY:  operator li: ledger says so\n" in shown.out
    assert "HANDLE:      shard 2, index 91, batch 1, record 3\n" in shown.out
    assert server.asked["GetTransaction"] == [admin.GetTransactionRequest(transaction_id=bytes.fromhex(replies.ID))]


def test_what_others_wrote_cannot_steer_the_terminal(tallymq: Tallymq, server: Canned) -> None:
    decided = replies.transaction(state=admin.TRANSACTION_STATE_COMMITTED)
    decided.decided_by = "operator x: \x1b]0;owned\x07\nTRANSACTION"
    server.will("GetTransaction", admin.GetTransactionReply(transaction=decided))
    shown = tallymq("transaction", "show", replies.ID)
    assert "\x1b" not in shown.out
    assert r"operator x: \x1b]0;owned\x07\nTRANSACTION" in shown.out


@pytest.mark.parametrize("identity", ["abc", "zz" * 16, replies.ID + "00"])
def test_an_id_that_is_none_is_usage(tallymq: Tallymq, server: Canned, identity: str) -> None:
    wrong = tallymq("transaction", "show", identity)
    assert wrong.code == 2
    assert "32 hexadecimal digits" in wrong.err
    assert server.asked == {}


def test_show_of_an_unknown_transaction_is_not_found(tallymq: Tallymq, server: Canned) -> None:
    server.will("GetTransaction", Refuse("UNKNOWN_TRANSACTION"))
    assert tallymq("transaction", "show", replies.ID).code == 3


def test_check_says_how_many_producers_it_can_reach(tallymq: Tallymq, server: Canned) -> None:
    server.will("CheckTransaction", admin.CheckTransactionReply(sessions=0))
    checked = tallymq("transaction", "check", replies.ID, "-o", "json")
    assert (checked.code, checked.data) == (0, [{"transaction_id": replies.ID, "sessions": 0}])
    assert "No producer of the group is connected" in checked.err


@pytest.mark.parametrize(
    ("verb", "commit", "state", "word"),
    [
        ("commit", True, admin.TRANSACTION_STATE_COMMITTED, "committed"),
        ("rollback", False, admin.TRANSACTION_STATE_ROLLED_BACK, "rolled_back"),
    ],
)
def test_a_decision_carries_who_and_why(
    tallymq: Tallymq, server: Canned, verb: str, commit: bool, state: int, word: str
) -> None:
    server.will("DecideTransaction", admin.DecideTransactionReply(transaction=replies.transaction(state=state)))
    decided = tallymq("transaction", verb, replies.ID, "--reason", "seen in the ledger", "--yes", "-o", "json")
    assert decided.code == 0
    assert [item["state"] for item in decided.data] == [word]
    assert server.asked["DecideTransaction"] == [
        admin.DecideTransactionRequest(
            transaction_id=bytes.fromhex(replies.ID),
            commit=commit,
            operator=getpass.getuser(),
            reason="seen in the ledger",
        )
    ]


def test_a_decision_needs_a_reason(tallymq: Tallymq, server: Canned) -> None:
    wrong = tallymq("transaction", "commit", replies.ID, "--yes")
    assert wrong.code == 2
    assert "--reason" in wrong.err
    too_long = tallymq("transaction", "commit", replies.ID, "--yes", "--reason", "é" * 128)
    assert too_long.code == 2
    assert "1 to 255 bytes" in too_long.err
    assert server.asked == {}


def test_a_decision_asks_first(tallymq: Tallymq, server: Canned) -> None:
    refused = tallymq("transaction", "rollback", replies.ID, "--reason", "x")
    assert refused.code == 2
    assert server.asked == {}


def test_the_second_decision_is_refused(tallymq: Tallymq, server: Canned) -> None:
    server.will("DecideTransaction", Refuse("ALREADY_COMMITTED"))
    refused = tallymq("transaction", "rollback", replies.ID, "--reason", "x", "--operator", "li", "--yes")
    assert refused.code == 4
    assert "TMQ-TXN-003 ALREADY_COMMITTED" in refused.err
    assert "It certainly did not happen." in refused.err
    assert server.asked["DecideTransaction"][0].operator == "li"


def test_several_decisions_of_which_some_fail_are_partly_done(tallymq: Tallymq, server: Canned) -> None:
    committed = replies.transaction(state=admin.TRANSACTION_STATE_COMMITTED)
    server.will("DecideTransaction", Refuse("ALREADY_ROLLED_BACK"), admin.DecideTransactionReply(transaction=committed))
    partly = tallymq("transaction", "commit", replies.OTHER_ID, replies.ID, "--reason", "x", "--yes", "-o", "json")
    assert partly.code == 7
    assert [item["transaction_id"] for item in partly.data] == [replies.ID]
    assert partly.error["message"].startswith(replies.OTHER_ID)
