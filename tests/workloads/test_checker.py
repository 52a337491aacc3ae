"""One good history, and for each anomaly a bad one that differs in as little as it takes."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.workloads.checker import check
from tests.workloads.history import (
    Acknowledge,
    Calm,
    Check,
    Decide,
    Decision,
    Deliver,
    Drained,
    History,
    Log,
    Message,
    Outcome,
    Prepare,
    Publish,
    Record,
    Stand,
    read,
    write,
)

T = "orders"
M = [Message(f"m{number}", f"d{number}", T, 0) for number in range(6)]
COMMITTED, ROLLED_BACK = Decision.COMMITTED, Decision.ROLLED_BACK


def at(offset: int, number: int, attempt: int = 0) -> Record:
    return Record(offset, f"m{number}", f"d{number}", attempt)


def publish(began: int, number: int, offset: int, **changes: object) -> Publish:
    return replace(Publish("p", began, began + 5, Outcome.OK, (M[number],), (offset,)), **changes)


def deliver(began: int, *records: Record, client: str = "c") -> Deliver:
    return Deliver(client, began, began + 5, "bank", T, 0, records)


def good() -> list[History]:
    """m0 and m1 published, m2 and m3 one transaction committed, m4 one that is rolled back; all consumed."""
    return [
        publish(10, 0, 0),
        publish(20, 1, 1),
        Prepare("p", 30, 35, Outcome.OK, "t1", "tellers", (M[2], M[3])),
        Prepare("p", 30, 36, Outcome.OK, "t2", "tellers", (M[4],)),
        Check("p", 60, 60, "t1"),
        Check("p", 70, 70, "t2"),
        Check("p", 110, 110, "t2"),
        Decide("p", 80, 85, Outcome.OK, "t1", COMMITTED),
        Decide("p", 130, 135, Outcome.OK, "t2", ROLLED_BACK),
        Decide("q", 140, 145, Outcome.REFUSED, "t2", COMMITTED, found=ROLLED_BACK),
        deliver(200, at(0, 0, 1), at(1, 1, 1)),
        deliver(210, at(1, 1, 2), at(2, 2, 1), at(3, 3, 1)),
        Acknowledge("c", 220, 225, Outcome.OK, "bank", T, 0, (0, 1, 2, 3)),
        Stand("o", 230, 231, "bank", T, 0, 3, 4),
        Stand("o", 240, 241, "bank", T, 0, 4, 4),
        Drained("o", 250, 250, "bank", T, 0),
        Log("o", 260, 261, T, 0, 0, 4, (at(0, 0), at(1, 1), at(2, 2), at(3, 3))),
        Calm("o", 30, 300, "tellers", 50),
    ]


def without(events: list[History], *numbers: int) -> list[History]:
    """The good history, but for the messages with these numbers, wherever they were seen."""
    names = {f"m{number}" for number in numbers}
    found: list[History] = []
    for event in events:
        if isinstance(event, Deliver | Log):
            event = replace(event, records=tuple(one for one in event.records if one.id not in names))
        found.append(event)
    return found


def instead(kind: type[History], number: int, **changes: object) -> list[History]:
    """The good history with the n-th event of a kind changed."""
    events = good()
    place = [position for position, event in enumerate(events) if isinstance(event, kind)][number]
    events[place] = replace(events[place], **changes)
    return events


def final(*records: Record, next_offset: int = 4) -> list[History]:
    return instead(Log, 0, records=records, next_offset=next_offset)


BAD: dict[str, list[History]] = {
    "lost": instead(Publish, 1, messages=(M[5],), offsets=()),
    "refused-stored": instead(Publish, 1, outcome=Outcome.REFUSED, offsets=()),
    "phantom": [*good(), deliver(300, Record(4, "m9", "d9", 1))],
    "corrupted": [*good(), deliver(300, Record(1, "m1", "other", 2), client="d")],
    "duplicate-store": final(at(0, 0), at(1, 1), at(2, 2), at(3, 3), at(4, 0), next_offset=5),
    "offset-reuse": instead(Publish, 1, offsets=(0,)),
    "offset-gap": final(at(0, 0), at(1, 1), at(2, 2), at(3, 3), next_offset=5),
    "nonmonotonic-send": [replace(one, began_us=1, ended_us=8) if one == publish(20, 1, 1) else one for one in good()],
    "outcome-flip": [*good(), Decide("q", 150, 155, Outcome.OK, "t2", COMMITTED)],
    "rolled-back-delivered": [*good(), deliver(300, at(4, 4, 1), client="d")],
    "undecided-delivered": [
        *[one for one in good() if not isinstance(one, Decide | Calm)],
        Decide("p", 130, 135, Outcome.REFUSED, "t1", COMMITTED),
    ],
    "half-delivered": without(good(), 3),
    "committed-never-delivered": without(good(), 2, 3),
    "check-gap": [one for one in good() if one != Check("p", 70, 70, "t2")],
    "unobserved": instead(Deliver, 1, records=(at(1, 1, 2), at(2, 2, 1))),
    "skip-external": [
        *[one for one in good() if not isinstance(one, Deliver)],
        deliver(200, at(0, 0, 1), at(1, 1, 1)),
        deliver(210, at(3, 3, 1)),
    ],
    "skip-internal": instead(Deliver, 1, records=(at(1, 1, 1), at(3, 3, 1), at(2, 2, 2))),
    "nonmonotonic-internal": instead(Deliver, 1, records=(at(3, 3, 1), at(2, 2, 1))),
    "nonmonotonic-external": [*good(), deliver(215, at(2, 2, 1))],
    "offset-backwards": [*good(), Stand("o", 242, 243, "bank", T, 0, 3, 4)],
    "acknowledged-delivered": [*good(), deliver(230, at(1, 1, 3))],
}


def test_a_good_history_has_no_anomaly() -> None:
    verdict = check(good())
    assert verdict.anomalies == ()
    assert verdict.counts["publish ok"] == 2
    assert verdict.counts["duplicate-delivery"] == 1


@pytest.mark.parametrize("kind", BAD)
def test_each_anomaly_is_seen_in_a_history_that_has_it(kind: str) -> None:
    assert kind in check(BAD[kind]).kinds


def test_what_a_caller_does_not_know_is_held_against_nobody() -> None:
    unknown = [publish(10, 5, 0, outcome=Outcome.UNKNOWN, offsets=())]
    unknown += [Decide("q", 20, 90, Outcome.UNKNOWN, "t2", COMMITTED)]
    assert check([*good(), *unknown]).anomalies == ()


def test_an_unknown_commit_is_all_or_nothing() -> None:
    events = [one for one in without(good(), 3) if not isinstance(one, Decide)]
    events.append(Decide("p", 80, 85, Outcome.UNKNOWN, "t1", COMMITTED))
    assert "half-delivered" in check(events).kinds


def test_a_publish_that_is_repeated_is_answered_as_the_first_one_was() -> None:
    assert check([*good(), publish(100, 0, 0)]).anomalies == ()


def test_a_history_is_read_as_it_was_written_but_for_a_torn_last_line(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    write(path, good())
    with path.open("ab") as file:
        file.write(b'{"event":"publ')
    assert list(read(path)) == good()
