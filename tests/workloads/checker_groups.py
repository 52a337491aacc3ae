"""What groups got, in which order, and where they stand.

nonmonotonic-internal   within one delivery, first attempts do not come by ascending offset
nonmonotonic-external   a consumer got an offset for the first time after a later one
skip-internal           within one delivery, first attempts leave out an offset that holds a message
skip-external           a group got a later message, and never that one, though it has taken all there was
unobserved              the same at the end of a queue: nothing later was delivered either
offset-backwards        a group was seen to stand lower than it had been seen to stand before
acknowledged-delivered  a message came again after the group had been told that it is done
"""

from collections.abc import Iterator
from itertools import pairwise

from tests.workloads.checker_seen import Anomaly, Seat, Seen
from tests.workloads.history import Deliver, Outcome


def anomalies(seen: Seen) -> Iterator[Anomaly]:
    """Yield what is wrong with the groups."""
    for seat in sorted({*seen.deliveries, *seen.stands, *seen.drained}):
        deliveries = sorted(seen.deliveries[seat], key=lambda one: one.ended_us)
        yield from _order(seen, seat, deliveries)
        yield from _missed(seen, seat, deliveries)
        yield from _backwards(seen, seat)
        yield from _again(seen, seat, deliveries)


def duplicate_deliveries(seen: Seen) -> int:
    """Count deliveries of what the same group had got before."""
    count = 0
    for deliveries in seen.deliveries.values():
        ids = [record.id for delivery in deliveries for record in delivery.records]
        count += len(ids) - len(set(ids))
    return count


def _order(seen: Seen, seat: Seat, deliveries: list[Deliver]) -> Iterator[Anomaly]:
    there = seen.at.get(seat[1:], {})
    highest: dict[str, int] = {}
    for delivery in deliveries:
        first = [record.offset for record in delivery.records if record.attempt == 1]
        if first and first[0] < highest.get(delivery.client, -1):
            text = f"{delivery.client} of {_name(seat)} got {first[0]} after {highest[delivery.client]}"
            yield Anomaly("nonmonotonic-external", text)
        for before, after in pairwise(first):
            if after <= before:
                yield Anomaly("nonmonotonic-internal", f"{_name(seat)} got {after} behind {before} in one delivery")
            elif any(offset in there for offset in range(before + 1, after)):
                yield Anomaly("skip-internal", f"{_name(seat)} got {after} right behind {before} in one delivery")
        highest[delivery.client] = max([highest.get(delivery.client, -1), *first])


def _missed(seen: Seen, seat: Seat, deliveries: list[Deliver]) -> Iterator[Anomaly]:
    log = seen.logs.get(seat[1:])
    if log is None or seat not in seen.drained:
        return
    got = {record.offset for delivery in deliveries for record in delivery.records}
    # A group that asked to begin at the end, or whose queue was trimmed, owes nothing before its first message.
    begin = max(min(got, default=log.next_offset), log.first_offset) if log.first_offset else 0
    for offset in range(begin, log.next_offset):
        if offset not in got:
            kind = "skip-external" if max(got, default=-1) > offset else "unobserved"
            yield Anomaly(kind, f"{_name(seat)} took all there was, and never got {offset}")


def _backwards(seen: Seen, seat: Seat) -> Iterator[Anomaly]:
    turns = [(stand.ended_us, 1, number) for number, stand in enumerate(seen.stands[seat])]
    turns += [(stand.began_us, 0, number) for number, stand in enumerate(seen.stands[seat])]
    floor_offset = next_offset = 0
    owed: dict[int, tuple[int, int]] = {}
    for _, is_end, number in sorted(turns):
        stand = seen.stands[seat][number]
        if not is_end:
            owed[number] = (floor_offset, next_offset)
            continue
        if stand.floor_offset < owed[number][0] or stand.next_offset < owed[number][1]:
            text = f"{_name(seat)} stands at {stand.floor_offset}/{stand.next_offset} after {owed[number]}"
            yield Anomaly("offset-backwards", text)
        floor_offset = max(floor_offset, stand.floor_offset)
        next_offset = max(next_offset, stand.next_offset)


def _again(seen: Seen, seat: Seat, deliveries: list[Deliver]) -> Iterator[Anomaly]:
    done_us: dict[int, int] = {}
    for acknowledge in seen.acknowledges[seat]:
        if acknowledge.outcome is Outcome.OK:
            for offset in acknowledge.offsets:
                done_us[offset] = min(done_us.get(offset, acknowledge.ended_us), acknowledge.ended_us)
    for delivery in deliveries:
        for record in delivery.records:
            # Only what was asked for after the answer: an earlier delivery may have been long on its way.
            if delivery.began_us > done_us.get(record.offset, delivery.began_us):
                yield Anomaly("acknowledged-delivered", f"{_name(seat)} got {record.offset} again, which it had done")


def _name(seat: Seat) -> str:
    return f"{seat[0]} on {seat[1]}/{seat[2]}"
