"""`tallymq topic`: create, list, show, delete."""

from __future__ import annotations

from collections.abc import Sequence

import click

from tallymq.cli.command import PAGE, Group, Run, confirm, every_page, for_each, pass_run
from tallymq.cli.printer import Column, Item
from tallymq.cli.values import duration, show_duration, size, size_text, valid_text
from tallymq.proto import admin_pb2 as admin

_STATES = {admin.TOPIC_STATE_READY: "ready", admin.TOPIC_STATE_DELETING: "deleting"}
_DEFAULT_RETENTION_MS = 7 * 86_400_000


def topic_item(topic: admin.Topic) -> Item:
    """Return a topic as `-o json` prints it, without its queues."""
    return {
        "name": topic.name,
        "id": topic.id,
        "state": _STATES.get(topic.state, "unknown"),
        "queue_count": len(topic.queue_shards),
        "queue_shards": list(topic.queue_shards),
        "retention_ms": topic.settings.retention_ms or _DEFAULT_RETENTION_MS,
        "retention_bytes": topic.settings.retention_bytes or None,
    }


def queue_item(queue: admin.Queue) -> Item:
    """Return a queue as `-o json` prints it."""
    return {
        "queue": queue.queue,
        "shard": queue.shard,
        "leader": queue.leader or None,
        "first_offset": queue.first_offset,
        "next_offset": queue.next_offset,
        "in_doubt": queue.in_doubt,
        "delayed": queue.delayed,
        "record_bytes": queue.record_bytes,
    }


def _show_size(value: object) -> str:
    return size_text(value) if isinstance(value, int) else "no limit"


TOPIC_COLUMNS = (
    Column("NAME", "name"),
    Column("ID", "id", right=True),
    Column("STATE", "state"),
    Column("QUEUES", "queue_count", right=True),
    Column("KEPT FOR", "retention_ms", show_duration, right=True),
    Column("KEPT PER QUEUE", "retention_bytes", _show_size, right=True),
)
QUEUE_COLUMNS = (
    Column("QUEUE", "queue", right=True),
    Column("SHARD", "shard", right=True),
    Column("LEADER", "leader"),
    Column("FIRST", "first_offset", right=True),
    Column("NEXT", "next_offset", right=True),
    Column("IN DOUBT", "in_doubt", right=True),
    Column("DELAYED", "delayed", right=True),
    Column("SIZE", "record_bytes", _show_size, right=True),
)

topic = Group("topic", help="Topics: what messages are published to, spread over queues.")


@topic.command(
    examples=(
        "tallymq topic create transfers",
        "tallymq topic create transfers --queues 8 --retention 30d --retention-bytes 10GiB",
    )
)
@click.argument("name", type=valid_text)
@click.option("--queues", type=click.IntRange(1, 1024), help="Number of queues; it only grows.  [default: 4]")
@click.option("--retention", type=duration, metavar="DURATION", help="Keep messages at least this long.  [default: 7d]")
@click.option(
    "--retention-bytes", type=size, metavar="SIZE", help="Keep at most this much per queue.  [default: no limit]"
)
@pass_run
def create(run: Run, name: str, queues: int | None, retention: int | None, retention_bytes: int | None) -> None:
    """Make the topic NAME.

    One that exists with as many queues is left as it is, so that the command can be repeated.
    """
    if retention == 0:
        raise click.UsageError("--retention must be longer than nothing.")
    settings = admin.TopicSettings(retention_ms=retention or 0, retention_bytes=retention_bytes or 0)
    request = admin.CreateTopicRequest(name=name, queue_count=queues or 0, settings=settings)
    reply = run.write(lambda stubs: stubs.admin.CreateTopic, request)
    run.printer.one(topic_item(reply.topic), TOPIC_COLUMNS)


@topic.command("list", examples=("tallymq topic list", "tallymq topic list -o json"))
@pass_run
def list_(run: Run) -> None:
    """List all topics."""

    def read_page(after: str) -> Sequence[admin.Topic]:
        request = admin.ListTopicsRequest(after=after, limit=PAGE)
        return run.read(lambda stubs: stubs.admin.ListTopics, request).topics

    run.printer.list([topic_item(found) for found in every_page(read_page)], TOPIC_COLUMNS, "No topics.")


@topic.command(examples=("tallymq topic show transfers",))
@click.argument("name", type=valid_text)
@pass_run
def show(run: Run, name: str) -> None:
    """Show the topic NAME and its queues."""
    request = admin.GetTopicRequest(name=name)
    found = run.read(lambda stubs: stubs.admin.GetTopic, request).topic
    item = topic_item(found)
    queues = [queue_item(queue) for queue in sorted(found.queues, key=lambda queue: queue.queue)]
    if run.printer.for_programs:
        run.printer.one({**item, "queues": queues}, ())
        return
    run.printer.lines(item, TOPIC_COLUMNS)
    run.printer.heading("")
    run.printer.table(queues, QUEUE_COLUMNS)


@topic.command(examples=("tallymq topic delete transfers", "tallymq topic delete old-1 old-2 --yes"))
@click.argument("names", type=valid_text, nargs=-1, required=True, metavar="NAME...")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_run
def delete(run: Run, names: tuple[str, ...], yes: bool) -> None:
    """Delete topics and their messages, for ever.

    Refused while a transaction on the topic is in doubt.
    """
    confirm(f"Delete {', '.join(names)} and all messages in it, for ever?", yes=yes)
    deleted: list[Item] = []

    def act(name: str) -> None:
        request = admin.DeleteTopicRequest(name=name)
        run.write(lambda stubs: stubs.admin.DeleteTopic, request)
        deleted.append({"name": name, "deleted": True})

    try:
        for_each(run, names, act)
    finally:
        run.printer.list(deleted, (Column("DELETED", "name"),), "")
