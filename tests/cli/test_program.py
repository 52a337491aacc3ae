"""The program as a whole: help everywhere, sentences instead of tracebacks, manners with pipes and Ctrl-C."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator

import click
import pytest

from tallymq.cli.exits import MEANINGS, Exit
from tallymq.cli.program import root
from tallymq.cli.values import duration, duration_text, servers, size, size_text, time_text
from tallymq.proto import admin_pb2 as admin
from tallymq.proto.refusals import REFUSALS
from tests.cli import replies
from tests.cli.canned import Canned, Hang
from tests.cli.conftest import Tallymq

PROGRAM = (sys.executable, "-P", "-m", "tallymq.cli")
DEADLINE_S = 60
COMMANDS = {
    "topic": {"create", "list", "show", "delete"},
    "message": {"publish", "get", "tail"},
    "transaction": {"list", "show", "check", "commit", "rollback"},
    "group": {"list", "show", "dead-letters"},
    "cluster": {"status", "health"},
    "node": {"list", "show"},
    "shard": {"list", "show"},
}


def command_lines(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield words
    for name, part in getattr(command, "commands", {}).items():
        yield from command_lines(part, (*words, name))


def test_the_commands_are_those_that_are_promised() -> None:
    found = {name: set(getattr(noun, "commands", {})) for name, noun in root.commands.items()}
    assert found == {**COMMANDS, "migrate": set(), "certs": set(), "explain": set(), "completion": set()}


@pytest.mark.parametrize("words", [pytest.param(words, id=" ".join(words)) for words in command_lines(root)])
def test_every_command_has_help_with_an_example(bare: Tallymq, words: tuple[str, ...]) -> None:
    helped = bare(*words, "--help")
    assert helped.code == 0
    assert helped.err == ""
    example = helped.out.partition("Example")[2]
    # A noun's own help lists its verbs, each with its example.
    assert words in {(noun,) for noun in COMMANDS} or " ".join(("tallymq", *words)) in example


def test_the_help_tells_the_exit_codes(bare: Tallymq) -> None:
    text = " ".join(bare("--help").out.split())
    for code, meaning in MEANINGS.items():
        assert f"{int(code)} {meaning.partition(':')[0]}" in text
    assert set(MEANINGS) == set(Exit)


def test_the_version_is_that_of_the_package(bare: Tallymq) -> None:
    shown = bare("--version")
    assert shown.code == 0
    assert shown.out.startswith("tallymq 0.")


@pytest.mark.parametrize("words", [("topik",), ("topic", "make"), ("topic", "create"), ("--colour", "topic", "list")])
def test_a_command_line_that_is_wrong_is_usage(bare: Tallymq, words: tuple[str, ...]) -> None:
    wrong = bare(*words)
    assert (wrong.code, wrong.out) == (2, "")
    assert "Usage: tallymq" in wrong.err


def test_text_that_is_not_utf_8_is_usage(bare: Tallymq) -> None:
    assert bare("topic", "show", os.fsdecode(b"\xff")).code == 2


def test_explain_knows_every_code_by_code_and_by_name(bare: Tallymq) -> None:
    listed = bare("explain", "-o", "json").data
    assert [(item["code"], item["name"]) for item in listed] == [(row.code, row.name) for row in REFUSALS]
    by_code, by_name = (bare("explain", word, "-o", "json").data for word in ("tmq-txn-003", "ALREADY_COMMITTED"))
    assert by_code == by_name
    assert by_code["exit_code"] == 4
    people = bare("explain", "TMQ-RAFTLOG-003")
    assert "it may have happened" in people.out


def test_explain_of_an_unknown_code_is_not_found(bare: Tallymq) -> None:
    assert bare("explain", "TMQ-NOBODY-001").code == 3


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_that_asks_the_program(bare: Tallymq, shell: str) -> None:
    printed = bare("completion", shell)
    assert printed.code == 0
    assert f"_TALLYMQ_COMPLETE={shell}_complete" in printed.out


def test_the_program_completes_what_was_begun() -> None:
    environment = {**os.environ, "_TALLYMQ_COMPLETE": "bash_complete", "COMP_WORDS": "tallymq trans", "COMP_CWORD": "1"}
    ran = subprocess.run(
        PROGRAM, env=environment, capture_output=True, text=True, timeout=DEADLINE_S, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert "transaction" in ran.stdout


def test_a_reader_that_has_seen_enough_is_no_failure(server: Canned) -> None:
    topics = [replies.topic(f"topic-with-a-long-name-{number:04}") for number in range(999)]
    server.will("ListTopics", admin.ListTopicsReply(topics=topics))
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ran = subprocess.run(
            (*PROGRAM, "--server", server.address, "topic", "list"), stdout=writing, stderr=subprocess.PIPE,
            timeout=DEADLINE_S, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    finally:
        os.close(writing)
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_a_terminal_that_knows_no_chinese_is_no_failure(server: Canned) -> None:
    server.will("GetMessage", admin.GetMessageReply(topic="t", record=replies.record("李雷".encode())))
    plain = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    for words, shown in (((), r"\u674e\u96f7"), (("-o", "json"), r'"body": "\u674e\u96f7"')):
        ran = subprocess.run(
            (*PROGRAM, "--server", server.address, *words, "message", "get", replies.ID), env=plain,
            capture_output=True, text=True, timeout=DEADLINE_S, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert (ran.returncode, ran.stderr) == (0, "")
        assert shown in ran.stdout


@pytest.mark.parametrize(
    ("call", "words", "said"),
    [
        ("ListTopics", ("topic", "list"), "Interrupted.\n"),
        ("CreateTopic", ("topic", "create", "t"), "Interrupted; it may have happened.\n"),
    ],
)
def test_ctrl_c_ends_it_and_tells_what_is_known(server: Canned, call: str, words: tuple[str, ...], said: str) -> None:
    asked = threading.Event()
    server.will(call, Hang(asked))
    running = subprocess.Popen(
        (*PROGRAM, "--server", server.address, *words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert asked.wait(DEADLINE_S)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=DEADLINE_S)
    assert (running.returncode, out, err) == (130, "", said)


def test_durations_and_sizes_are_read_as_people_write_them() -> None:
    assert [duration(text) for text in ("0", "500ms", "10s", "10m", "1h30m", "7d")] == [
        0, 500, 10_000, 600_000, 5_400_000, 604_800_000,
    ]  # fmt: skip
    assert [size(text) for text in ("4096", "1KiB", "64MiB", "10 GB", "2TB")] == [
        4096, 1024, 64 * 2**20, 10**10, 2 * 10**12,
    ]  # fmt: skip
    for wrong in ("", "10", "m", "-1s", "1.5h", "1h 30m", "9999999999d"):
        with pytest.raises(click.BadParameter):
            duration(wrong)
    for wrong in ("", "MiB", "-1", "1.5MiB", "1 parsec", "9" * 30):
        with pytest.raises(click.BadParameter):
            size(wrong)


def test_values_are_shown_as_people_read_them() -> None:
    assert [duration_text(value) for value in (0, 500, 90_000, 604_800_000, 90_061_001)] == [
        "0", "500ms", "1m30s", "7d", "1d1h",
    ]  # fmt: skip
    assert [size_text(value) for value in (0, 1023, 1536, 2**30, 2**41)] == [
        "0 B", "1023 B", "1.5 KiB", "1.0 GiB", "2.0 TiB",
    ]  # fmt: skip
    assert [time_text(value) for value in (0, 1, replies.TIME_MS)] == [None, "1970-01-01T00:00:00.001Z", replies.TIME]


def test_addresses_are_read_with_the_usual_port() -> None:
    assert servers("a, b:8070,[::1]:9000,a") == ("a:7070", "b:8070", "[::1]:9000")


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql", "mysql", "mariadb"])
def test_migrate_prints_statements_that_a_database_reads(bare: Tallymq, dialect: str) -> None:
    printed = bare("migrate", dialect)
    assert printed.code == 0
    made = [line for line in printed.out.splitlines() if line.startswith("CREATE TABLE IF NOT EXISTS tallymq_")]
    assert len(made) == printed.out.count(";\n") >= 2
    assert [item["sql"] for item in bare("migrate", dialect, "-o", "json").data] == [sql[:-1] for sql in made]


def test_the_sqlite_tables_can_be_made_twice(bare: Tallymq) -> None:
    script = bare("migrate", "sqlite").out
    with sqlite3.connect(":memory:") as database:
        database.executescript(script + script)
        names = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert {"tallymq_txn", "tallymq_inbox"} <= names
    database.close()
