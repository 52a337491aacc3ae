"""`tallymq message`: publish, get, tail."""

from __future__ import annotations

import secrets
import sys
import time
from pathlib import Path
from typing import IO

import click

from tallymq._records import message_id, queue_of_key
from tallymq.cli.command import Group, Run, pass_run
from tallymq.cli.exits import Exit
from tallymq.cli.failure import Failure, refused_here
from tallymq.cli.printer import Column, Item
from tallymq.cli.record import record_item, show_body, show_headers
from tallymq.cli.tail import Tail
from tallymq.cli.transaction import transaction_item
from tallymq.cli.values import duration, header, identity, valid_text
from tallymq.proto import admin_pb2 as admin
from tallymq.proto import messaging_pb2 as messaging

BATCH_BYTES_MAX = 4 * 1024 * 1024 - 64 * 1024
ROUTE_TRIES = 3
"""How often the queue is chosen anew where the topic's queue count changes meanwhile."""

PUBLISHED_COLUMNS = (
    Column("MESSAGE", "message_id"),
    Column("TOPIC", "topic"),
    Column("QUEUE", "queue", right=True),
    Column("OFFSET", "offset", right=True),
)
MESSAGE_COLUMNS = (
    Column("MESSAGE", "message_id"),
    Column("STATE", "state"),
    Column("TOPIC", "topic"),
    Column("QUEUE", "queue"),
    Column("KEY", "key"),
    Column("TAG", "tag"),
    Column("SEARCH KEYS", "search_keys"),
    Column("HEADERS", "headers", show_headers),
    Column("PRIORITY", "priority"),
    Column("BORN", "born_time"),
)

message = Group("message", help="Messages: publish one, look one up, watch them come.")


@message.command(
    examples=(
        "tallymq message publish transfers 'hello'",
        "tallymq message publish transfers --key li-lei --header kind=test --file body.json",
        "date | tallymq message publish transfers --tag clock",
    )
)
@click.argument("topic", type=valid_text)
@click.argument("body", required=False)
@click.option("--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Take the body from a file.")
@click.option("--key", default="", help="Routing key: messages of one key go to one queue, in order.")
@click.option("--tag", type=valid_text, metavar="TEXT", default="", help="One label for filtering.")
@click.option(
    "--search-key", "search_keys", type=valid_text, metavar="TEXT", multiple=True, help="A search key; may be repeated."
)
@click.option(
    "--header", "headers", type=header, metavar="NAME=VALUE", multiple=True, help="A header; may be repeated."
)
@click.option("--priority", type=click.IntRange(0, 9), default=0, help="0 to 9, carried to the consumer.")
@click.option("--delay", type=duration, default="0", metavar="DURATION", help="Deliver not before this long.")
@pass_run
def publish(
    run: Run,
    topic: str,
    body: str | None,
    file: Path | None,
    key: str,
    tag: str,
    search_keys: tuple[str, ...],
    headers: tuple[tuple[str, bytes], ...],
    priority: int,
    delay: int,
) -> None:
    """Publish one message to TOPIC. The body is BODY, a file, or standard input."""
    record = messaging.Record(
        key=key.encode("utf-8", "surrogateescape"),
        tag=tag,
        keys=search_keys,
        headers=[messaging.Header(name=name, value=value) for name, value in headers],
        body=_body(run, body, file),
        priority=priority,
        born_time_ms=time.time_ns() // 1_000_000,
    )
    if record.ByteSize() + 16 > BATCH_BYTES_MAX:
        raise refused_here("BATCH_TOO_LARGE")
    run.printer.one(_publish(run, topic, record, delay), PUBLISHED_COLUMNS)


def _body(run: Run, body: str | None, file: Path | None) -> bytes:
    if body is not None and file is not None:
        raise click.UsageError("Give the body as BODY or with --file, not both.")
    if body is not None:
        return body.encode("utf-8", "surrogateescape")
    try:
        if file is not None:
            with file.open("rb") as stream:
                return _read_bounded(stream)
        if sys.stdin.isatty():
            run.printer.say("Type the body; end with Ctrl-D.")
        return _read_bounded(sys.stdin.buffer)
    except OSError as error:
        raise Failure(Exit.FAILURE, f"The body cannot be read: {error.strerror}.", definite=True) from error


def _read_bounded(stream: IO[bytes]) -> bytes:
    content = stream.read(BATCH_BYTES_MAX + 1)
    if len(content) > BATCH_BYTES_MAX:
        raise refused_here("BATCH_TOO_LARGE")
    return content


def _publish(run: Run, topic: str, record: messaging.Record, delay_ms: int) -> Item:
    instance = secrets.randbits(64) or 1
    for sequence in range(ROUTE_TRIES):
        header = messaging.BatchHeader(topic=topic, record_lengths=[record.ByteSize()])
        if delay_ms:
            header.delivery_times_ms.append(time.time_ns() // 1_000_000 + delay_ms)
        if record.key:
            header.queue_count = _queue_count(run, topic)
            header.queue = queue_of_key(record.key, header.queue_count)
        request = messaging.PublishRequest(
            identity=messaging.FrameIdentity(instance=instance, sequence=sequence),
            batches=[messaging.Batch(header=header, records=messaging.RecordBatch(records=[record]))],
        )
        try:
            reply = run.write(lambda stubs: stubs.messaging.Publish, request)
        except Failure as failure:
            if failure.name != "QUEUE_COUNT_CHANGED" or not failure.definite or sequence == ROUTE_TRIES - 1:
                raise
            continue
        stored = reply.batches[0]
        return {
            "message_id": message_id(reply.identity.instance, reply.identity.sequence, 0),
            "topic": topic,
            "queue": stored.queue,
            "offset": stored.first_offset if stored.visible_count else None,
        }
    raise refused_here("QUEUE_COUNT_CHANGED")


def _queue_count(run: Run, topic: str) -> int:
    request = messaging.RouteRequest(topics=[topic])
    reply = run.read(lambda stubs: stubs.messaging.Route, request)
    for found in reply.topics:
        if found.topic == topic and found.queue_shards:
            return len(found.queue_shards)
    raise refused_here("UNKNOWN_TOPIC")


@message.command(
    examples=(
        "tallymq message get 5fca32b1908d4a7e0000000700000000",
        "tallymq message get 5fca32b1908d4a7e0000000700000000 --raw > body.bin",
    )
)
@click.argument("message_id", type=identity, metavar="ID")
@click.option("--raw", is_flag=True, help="Write the body only, byte for byte.")
@pass_run
def get(run: Run, message_id: bytes, raw: bool) -> None:
    """Look the message ID up, whatever its state. The content is shown only once it is visible to consumers."""
    request = admin.GetMessageRequest(message_id=message_id)
    reply = run.read(lambda stubs: stubs.admin.GetMessage, request)
    item = _message_item(message_id, reply)
    if raw:
        if not reply.HasField("record"):
            raise Failure(Exit.REFUSED, f"The message is {item['state']}; its body is shown to nobody.")
        run.printer.raw(reply.record.body)
        return
    run.printer.one(item, MESSAGE_COLUMNS)
    if not run.printer.for_programs:
        run.printer.heading("")
        run.printer.heading(show_body(item) if reply.HasField("record") else f"<not shown: {item['state']}>")


def _message_item(identity: bytes, reply: admin.GetMessageReply) -> Item:
    transaction = transaction_item(reply.transaction) if reply.HasField("transaction") else None
    return {
        "message_id": identity.hex(),
        "state": transaction["state"] if transaction else "published",
        "topic": reply.topic,
        "queue": reply.queue,
        "transaction": transaction,
        **(record_item(reply.record) if reply.HasField("record") else dict.fromkeys(record_item(messaging.Record()))),
    }


@message.command(
    examples=(
        "tallymq message tail transfers",
        "tallymq message tail transfers -n 0 -f",
        "tallymq message tail transfers --queue 2 -n 100 -o json",
    )
)
@click.argument("topic", type=valid_text)
@click.option(
    "-n", "--lines", type=click.IntRange(0, 100_000), default=10, show_default=True, help="How many to begin with."
)
@click.option("-f", "--follow", is_flag=True, help="Go on as messages come, until Ctrl-C.")
@click.option("--queue", type=click.IntRange(0, 1023), help="Only this queue.")
@pass_run
def tail(run: Run, topic: str, lines: int, follow: bool, queue: int | None) -> None:
    """Print the last messages of TOPIC, without taking them from any consumer.

    With `-o json` every message is an object on a line of its own.
    """
    watched = Tail(run, topic, queue)
    watched.show_last(lines)
    if follow:
        watched.follow()
