"""The table of refusals: whole, stable, the same everywhere."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from tallymq.proto.refusals import BY_CODE, BY_NAME, REFUSALS
from tallymq.raftlog import errors as raftlog_errors
from tallymq.service.errors import Refused, errors_page, from_exception, from_outcome, to_message, to_status
from tallymq.txn.outcomes import Refusal

ROOT = Path(__file__).resolve().parents[2]


def test_every_refusal_of_the_rules_has_a_row_and_is_definite() -> None:
    for refusal in Refusal:
        assert from_outcome(refusal).row.definite
        assert BY_NAME[refusal.value].code.startswith("TMQ-TXN-")


def test_names_and_codes_are_unique_and_codes_count_up_within_a_room() -> None:
    assert len(BY_NAME) == len(BY_CODE) == len(REFUSALS)
    numbers: dict[str, int] = {}
    for refusal in REFUSALS:
        _, room, number = refusal.code.split("-")
        numbers[room] = numbers.get(room, 0) + 1
        assert int(number) == numbers[room]
        assert refusal.status in {code.name for code in grpc.StatusCode}
        assert refusal.message.endswith(".")
        assert refusal.hint.endswith(".")


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.name)
def test_a_refusal_says_the_same_on_a_stream_and_on_a_unary_call(refusal) -> None:
    refused = Refused(refusal.name, "a test", "127.0.0.1:1")
    message, status = to_message(refused), to_status(refused)
    assert (message.name, message.code, message.definite) == (refusal.name, refusal.code, refusal.definite)
    assert message.message == status.message
    assert status.code == grpc.StatusCode[refusal.status].value[0]


def test_an_error_of_ours_is_internal_and_never_definite() -> None:
    refused = from_exception(ZeroDivisionError())
    assert (refused.name, refused.row.definite) == ("INTERNAL_ERROR", False)


def test_errors_of_the_log_keep_whether_it_may_have_happened() -> None:
    assert from_exception(raftlog_errors.OutcomeUnknown()).row.definite is False
    assert from_exception(raftlog_errors.Overloaded()).row.definite is True


def test_the_page_about_the_errors_is_fresh() -> None:
    assert (ROOT / "docs/errors.md").read_text(encoding="utf-8") == errors_page()
