"""Tables for people: with lines on a terminal that is wide enough, plain elsewhere, and never a cell cut."""

import io
import sys
from pathlib import Path

import pytest

from tallymq.cli.exits import MEANINGS, Exit
from tallymq.cli.printer import Column, Printer
from tallymq.cli.program import root
from tallymq.proto import admin_pb2 as admin
from tests.cli import replies
from tests.cli.canned import Canned
from tests.cli.conftest import Tallymq

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "cli.md"
COLUMNS = (Column("NAME", "name"), Column("COUNT", "count", right=True))
ITEMS = [{"name": "[red]李雷[/red]", "count": 7}, {"name": "x" * 60, "count": None}]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(out: io.StringIO) -> str:
    Printer("table", out).list(ITEMS, COLUMNS, "nothing")
    return out.getvalue()


def test_a_wide_terminal_gets_a_table_with_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    text = printed(Terminal())
    assert "───" in text
    assert "[red]李雷[/red]" in text, "what others wrote is not markup"
    assert "x" * 60 in text


def test_a_narrow_terminal_gets_whole_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert "x" * 60 in printed(Terminal())


def test_a_file_gets_plain_columns_that_stand_below_each_other() -> None:
    lines = printed(io.StringIO()).splitlines()
    assert lines == ["NAME" + " " * 58 + "COUNT", "[red]李雷[/red]" + " " * 51 + "7", "x" * 60 + "      -"]


@pytest.mark.parametrize(("answer", "code", "asked"), [("y\n", 0, 1), ("n\n", 1, 0), ("\n", 1, 0)])
def test_what_cannot_be_undone_is_asked_at_a_terminal(
    tallymq: Tallymq, server: Canned, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, asked: int
) -> None:
    server.will("DeleteTopic", admin.DeleteTopicReply())
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    done = tallymq("topic", "delete", "transfers")
    assert (done.code, len(server.asked["DeleteTopic"])) == (code, asked)
    assert "Delete transfers and all messages in it, for ever?" in done.err
    if code:
        assert "It certainly did not happen." in done.err


def test_the_document_names_every_command_and_exit_code() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for noun, command in root.commands.items():
        for verb in getattr(command, "commands", {}):
            assert f"`{noun} {verb}" in text or verb == "rollback", f"{noun} {verb}"
        assert noun in text
    for code in Exit:
        assert f"| {int(code)} | {MEANINGS[code].partition(':')[0]}" in text


def keys(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {key for part in value.values() for key in keys(part)}
    return {key for part in value for key in keys(part)} if isinstance(value, list) else set()


def test_the_document_names_every_field_that_is_printed(tallymq: Tallymq, server: Canned) -> None:
    server.will("GetTopic", admin.GetTopicReply(topic=replies.topic(with_queues=True)))
    server.will("GetMessage", admin.GetMessageReply(transaction=replies.transaction(), record=replies.record()))
    server.will("GetGroup", admin.GetGroupReply(group=replies.group(with_queues=True)))
    server.will("GetClusterStatus", replies.status())
    text = DOCUMENT.read_text(encoding="utf-8")
    for words in (("topic", "show", "t"), ("message", "get", replies.ID), ("group", "show", "g"),
                  ("cluster", "status"), ("explain", "TMQ-TXN-001")):  # fmt: skip
        shown = tallymq(*words, "-o", "json")
        assert shown.code == 0
        missing = {key for key in keys(shown.data) if f"`{key}`" not in text and f"{key}," not in text}
        missing = {key for key in missing if f", {key}}}" not in text}
        assert missing == set(), words
