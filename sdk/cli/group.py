"""`tallymq group`: list, show, dead-letters."""

from __future__ import annotations

from collections.abc import Sequence

import click

from tallymq.cli.command import PAGE, Group, Run, every_page, pass_run
from tallymq.cli.printer import Column, Item
from tallymq.cli.values import show_duration, time_text, valid_text
from tallymq.proto import admin_pb2 as admin


def group_item(group: admin.Group) -> Item:
    """Return a consumer group as `-o json` prints it, without its queues."""
    settings = group.settings
    return {
        "name": group.name,
        "attempts_max": settings.attempts_max or 16,
        "lease_ms": settings.lease_ms or 30_000,
        "backoff_ms_min": settings.backoff_ms_min or 1_000,
        "backoff_ms_max": settings.backoff_ms_max or 300_000,
    }


def group_queue_item(place: admin.GroupQueue) -> Item:
    """Return where a group stands on a queue as `-o json` prints it."""
    return {
        "topic": place.topic,
        "queue": place.queue,
        "floor_offset": place.floor_offset,
        "next_offset": place.next_offset,
        "end_offset": place.end_offset,
        "lag": max(0, place.end_offset - place.floor_offset),
        "leased": place.leased,
        "waiting": place.waiting,
        "dead_letters": place.dead_letters,
    }


def dead_letter_item(letter: admin.DeadLetter) -> Item:
    """Return a dead letter as `-o json` prints it."""
    return {
        "topic": letter.topic,
        "queue": letter.queue,
        "offset": letter.offset,
        "attempts": letter.attempts,
        "reason": letter.reason,
        "time": time_text(letter.time_ms),
    }


GROUP_COLUMNS = (
    Column("NAME", "name"),
    Column("ATTEMPTS", "attempts_max", right=True),
    Column("LEASE", "lease_ms", show_duration, right=True),
    Column("BACK-OFF FROM", "backoff_ms_min", show_duration, right=True),
    Column("BACK-OFF TO", "backoff_ms_max", show_duration, right=True),
)
GROUP_QUEUE_COLUMNS = (
    Column("TOPIC", "topic"),
    Column("QUEUE", "queue", right=True),
    Column("DONE BELOW", "floor_offset", right=True),
    Column("NEXT", "next_offset", right=True),
    Column("END", "end_offset", right=True),
    Column("LAG", "lag", right=True),
    Column("LEASED", "leased", right=True),
    Column("WAITING", "waiting", right=True),
    Column("DEAD LETTERS", "dead_letters", right=True),
)
DEAD_LETTER_COLUMNS = (
    Column("TOPIC", "topic"),
    Column("QUEUE", "queue", right=True),
    Column("OFFSET", "offset", right=True),
    Column("ATTEMPTS", "attempts", right=True),
    Column("GIVEN UP", "time"),
    Column("REASON", "reason"),
)

group = Group("group", help="Consumer groups: who reads what, and how far they are.")


@group.command("list", examples=("tallymq group list",))
@pass_run
def list_(run: Run) -> None:
    """List all consumer groups."""

    def read_page(after: str) -> Sequence[admin.Group]:
        request = admin.ListGroupsRequest(after=after, limit=PAGE)
        return run.read(lambda stubs: stubs.admin.ListGroups, request).groups

    run.printer.list([group_item(found) for found in every_page(read_page)], GROUP_COLUMNS, "No consumer groups.")


@group.command(examples=("tallymq group show accounting",))
@click.argument("name", type=valid_text)
@pass_run
def show(run: Run, name: str) -> None:
    """Show the group NAME, its settings and where it stands on each queue."""
    request = admin.GetGroupRequest(name=name)
    found = run.read(lambda stubs: stubs.admin.GetGroup, request).group
    item = {**group_item(found), "consumers": found.consumers}
    places = sorted(found.queues, key=lambda place: (place.topic, place.queue))
    queues = [group_queue_item(place) for place in places]
    if run.printer.for_programs:
        run.printer.one({**item, "queues": queues}, ())
        return
    run.printer.lines(item, (*GROUP_COLUMNS, Column("CONSUMERS HERE", "consumers")))
    if queues:
        run.printer.heading("")
        run.printer.table(queues, GROUP_QUEUE_COLUMNS)


@group.command("dead-letters", examples=("tallymq group dead-letters accounting transfers --limit 20",))
@click.argument("name", type=valid_text)
@click.argument("topic", type=valid_text)
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="How many at most.")
@pass_run
def dead_letters(run: Run, name: str, topic: str, limit: int) -> None:
    """List messages of TOPIC that the group NAME gave up."""
    request = admin.ListDeadLettersRequest(group=name, topic=topic, limit=limit)
    reply = run.read(lambda stubs: stubs.admin.ListDeadLetters, request)
    items = [dead_letter_item(letter) for letter in reply.dead_letters]
    run.printer.list(items, DEAD_LETTER_COLUMNS, "No dead letters.")
