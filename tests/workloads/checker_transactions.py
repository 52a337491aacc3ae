"""What became of transactions.

outcome-flip               somebody was told that a transaction is committed, somebody that it is rolled back
rolled-back-delivered      somebody was told that it is rolled back, and a message of it was seen
undecided-delivered        a message of it was seen, though nobody had asked to commit it
half-delivered             some of its messages were seen, and others are not there at the end
committed-never-delivered  somebody was told that it is committed, and none of its messages is there at the end
check-gap                  while a producer could be asked, nobody was for longer than promised
"""

from collections.abc import Iterator

from tests.workloads.checker_seen import Anomaly, Seen, Transaction
from tests.workloads.history import Decision, Outcome


def anomalies(seen: Seen) -> Iterator[Anomaly]:
    """Yield what is wrong with transactions."""
    visible = seen.visible_ids()
    for name, transaction in seen.transactions.items():
        yield from _outcome(name, transaction, visible)
        yield from _whole(seen, name, transaction, visible)
    yield from _check_gaps(seen)


def _outcome(name: str, transaction: Transaction, visible: set[str]) -> Iterator[Anomaly]:
    outcomes = transaction.outcomes()
    shown = sorted(set(transaction.messages()) & visible)
    if len(outcomes) > 1:
        yield Anomaly("outcome-flip", f"{name} is said to be committed and to be rolled back")
    if shown and Decision.ROLLED_BACK in outcomes:
        yield Anomaly("rolled-back-delivered", f"{name} is rolled back, and {shown[0]} was seen")
    if shown and Decision.COMMITTED not in outcomes and not transaction.may_be(Decision.COMMITTED):
        yield Anomaly("undecided-delivered", f"nobody committed {name}, and {shown[0]} was seen")


def _whole(seen: Seen, name: str, transaction: Transaction, visible: set[str]) -> Iterator[Anomaly]:
    messages = transaction.messages()
    judged = [message for message in messages.values() if _is_judged(seen, message.topic, message.queue)]
    absent = sorted(message.id for message in judged if message.id not in visible)
    committed = Decision.COMMITTED in transaction.outcomes()
    if not absent or not (committed or set(messages) & visible):
        return
    if len(absent) < len(messages):
        yield Anomaly("half-delivered", f"{name} was seen, but for {', '.join(absent)}")
    else:
        yield Anomaly("committed-never-delivered", f"{name} is committed, and nothing of it is there")


def _is_judged(seen: Seen, topic: str, queue: int) -> bool:
    """Only a queue that was read to its end, from its very first offset, tells what is not there."""
    log = seen.logs.get((topic, queue))
    return log is not None and log.first_offset == 0


def _check_gaps(seen: Seen) -> Iterator[Anomaly]:
    for calm in seen.calms:
        for name, transaction in seen.transactions.items():
            stored = [one for one in transaction.prepares if one.outcome is Outcome.OK]
            if not stored or stored[0].producer_group != calm.producer_group:
                continue
            decided_us = [one.began_us for one in transaction.decides if one.outcome is not Outcome.REFUSED]
            begin_us = max(calm.began_us, min(one.ended_us for one in stored))
            end_us = min([calm.ended_us, *decided_us])
            asked_us = sorted(one.began_us for one in transaction.checks if begin_us <= one.began_us <= end_us)
            for before, after in zip([begin_us, *asked_us], [*asked_us, end_us], strict=True):
                if after - before > calm.check_gap_us_max:
                    yield Anomaly("check-gap", f"{name} was in doubt, and not asked about for {after - before} us")
                    break
