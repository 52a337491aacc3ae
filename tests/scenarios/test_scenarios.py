"""Scenario files: blocks of commands, a line of dashes, and what the rules answer.

The lines of a block are one entry. `wait 5s` lets time pass, `show ...` asks without changing anything; each is a
block of its own. Lines that begin with # are for people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tallymq.txn import queries
from tests.scenarios import printer
from tests.scenarios.language import VERBS, Words, duration_ms, pair, place
from tests.support.view import Shard

FILES = sorted(Path(__file__).parent.glob("*.txt"))
DASHES = "----"


def message_id(text: str) -> bytes:
    instance, sequence, position = (int(part) for part in text.split(":"))
    return instance.to_bytes(8, "big") + sequence.to_bytes(4, "big") + position.to_bytes(4, "big")


def show_transaction(shard: Shard, words: Words) -> list[str]:
    found = queries.transaction(shard.view, message_id(words.alone[1]))
    return ["nothing"] if found is None else [*printer.half_lines(found[0]), f"  bit {found[1]}"]


def show_dead(shard: Shard, words: Words) -> list[str]:
    asked = (words.number("after", -1), words.number("limit", 100))
    letters = queries.dead_letters(shard.view, words.alone[1], *place(words.alone[2]), *asked)
    return [printer.dead_line(letter) for letter in letters]


def show_halves(shard: Shard, words: Words) -> list[str]:
    halves = queries.halves(shard.view, (0, 0), "doubt" in words.alone, 100)
    total = f"{queries.in_doubt_total(shard.view)} in doubt"
    return [*(printer.half_lines(half)[0] for half in halves), total]


def show_checks(shard: Shard, words: Words) -> list[str]:
    halves = queries.checks_due(shard.view, shard.now_ms, 100)
    return [
        *(printer.half_lines(half)[0] for half in halves),
        f"next {printer.clock(queries.next_check_ms(shard.view))}",
    ]


def show_browse(shard: Shard, words: Words) -> list[str]:
    asked = (words.number("from", 0), words.number("records", 100))
    return [printer.piece_line(piece) for piece in queries.browse(shard.view, *place(words.alone[1]), *asked)]


def show_settled(shard: Shard, words: Words) -> str:
    topic, queue = place(words.alone[1])
    settled = queries.is_settled(shard.view, topic, words.number("id", 1), queue, words.number("deletion", 0))
    return "settled" if settled else "not settled"


def maybe(line: Callable[..., str], found: object) -> list[str]:
    return ["nothing"] if found is None else [line(found)]


SHOW: dict[str, Callable[[Shard, Words], list[str]]] = {
    "queue": lambda shard, words: maybe(printer.queue_line, queries.queue(shard.view, *place(words.alone[1]))),
    "settled": lambda shard, words: [show_settled(shard, words)],
    "queues": lambda shard, words: [printer.queue_line(one) for one in queries.queues(shard.view, "", 0, 100)],
    "group": lambda shard, words: maybe(
        printer.group_line, queries.group_queue(shard.view, words.alone[1], *place(words.alone[2]))
    ),
    "groups": lambda shard, words: [str(one) for one in queries.groups(shard.view, "", 100)],
    "topics": lambda shard, words: [str(one) for one in queries.topics(shard.view, "", 100)],
    "half": lambda shard, words: [
        line
        for half in [queries.half(shard.view, *pair(words.alone[1], "."))]
        for line in (["nothing"] if half is None else printer.half_lines(half))
    ],
    "halves": show_halves,
    "checks": show_checks,
    "transaction": show_transaction,
    "message": lambda shard, words: maybe(
        printer.message_line, queries.message(shard.view, message_id(words.alone[1]))
    ),
    "dead": show_dead,
    "browse": show_browse,
    "needed": lambda shard, words: [" ".join(map(str, queries.needed_bodies(shard.view, 0, 100))) or "nothing"],
    "past": lambda shard, words: [
        f"below {queries.trim_until(shard.view, *place(words.alone[1]), shard.now_ms, words.number('limit', 100))}"
    ],
    "timers": lambda shard, words: [f"next {printer.clock(queries.next_timer_ms(shard.view))}"],
    "keys": lambda shard, words: [" ".join(sorted({chr(key[0]) for key, _ in shard.view.items()})) or "none"],
}


def run_block(shard: Shard, lines: list[str]) -> list[str]:
    """Answer the lines of one block."""
    words = [Words(line, shard.now_ms) for line in lines]
    if words[0].verb == "wait":
        shard.now_ms += duration_ms(words[0].alone[0])
        return [f"now {printer.clock(shard.now_ms)}"]
    if words[0].verb == "show":
        return [line for one in words for line in SHOW[one.alone[0]](shard, one)]
    before = shard.view.items()
    results = shard.apply(*(VERBS[one.verb](one) for one in words))
    answers = [line for result in results for line in printer.result_lines(result)]
    if all(line.startswith("refused") for line in answers):
        assert shard.view.items() == before, f"{lines} was refused and changed something"
    return [f"entry {shard.index}", *answers, *map(printer.notice_line, shard.notices)]


def blocks(text: str) -> Iterator[tuple[list[str], list[str]]]:
    """Yield each block as (its lines before the dashes, those after them)."""
    for block in text.strip().split("\n\n"):
        lines = block.split("\n")
        at = lines.index(DASHES) if DASHES in lines else len(lines)
        yield lines[:at], lines[at + 1 :]


def play(text: str) -> str:
    """Return the scenario with the answers as they are now."""
    shard = Shard(printer.START_MS)
    written = []
    for asked, _ in blocks(text):
        commands = [line for line in asked if not line.startswith("#")]
        answers = [DASHES, *run_block(shard, commands)] if commands else []
        written.append("\n".join([*asked, *answers]))
    return "\n\n".join(written) + "\n"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_rules_answer_as_the_scenario_says(path: Path, request: pytest.FixtureRequest) -> None:
    text = path.read_text(encoding="utf-8")
    answered = play(text)
    if request.config.getoption("--rewrite", default=False):
        path.write_text(answered, encoding="utf-8")
    else:
        assert answered.split("\n") == text.split("\n")


def test_there_are_scenarios_for_every_command() -> None:
    verbs = {line.split()[0] for path in FILES for line in path.read_text(encoding="utf-8").split("\n") if line}
    assert len(FILES) >= 20
    assert set(VERBS) <= verbs
