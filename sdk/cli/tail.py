"""Watching a topic: its last messages, then new ones, over all its queues."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import click

from tallymq.cli.command import Run
from tallymq.cli.printer import Item
from tallymq.cli.record import delivery_items, show_body
from tallymq.cli.values import plain_text
from tallymq.proto import admin_pb2 as admin

PAGE = 200
FOLLOW_PAUSE_S = 0.3
"""How long to wait between two looks at where the queues end: one small question for all queues."""


class Tail:
    """Where one who watches a topic stands on each queue."""

    def __init__(self, run: Run, topic: str, queue: int | None) -> None:
        self.run = run
        self.topic = topic
        self.queue = queue
        self.next_offsets = {place.queue: place.next_offset for place in self._queues()}

    def _queues(self) -> list[admin.Queue]:
        request = admin.GetTopicRequest(name=self.topic)
        found = self.run.read(lambda stubs: stubs.admin.GetTopic, request).topic
        queues = [place for place in found.queues if self.queue is None or place.queue == self.queue]
        if self.queue is not None and not queues:
            raise click.UsageError(f"{self.topic} has no queue {self.queue}; it has {len(found.queue_shards)}, from 0.")
        return queues

    def show_last(self, count: int) -> None:
        """Print the last `count` messages over all queues, in the order in which they became visible."""
        items: list[Item] = []
        for queue, end in self.next_offsets.items():
            if count:
                items.extend(self._read(queue, max(0, end - count), end))
        items.sort(key=lambda item: (str(item["visible_time"]), str(item["queue"])))
        for item in items[-count:] if count else []:
            self._print(item)

    def follow(self) -> None:
        """Print messages as they come, for ever; Ctrl-C ends it."""
        while True:
            for place in self._queues():
                for item in self._read(place.queue, self.next_offsets.get(place.queue, 0), place.next_offset):
                    self._print(item)
                self.next_offsets[place.queue] = max(place.next_offset, self.next_offsets.get(place.queue, 0))
            threading.Event().wait(FOLLOW_PAUSE_S)

    def _read(self, queue: int, offset: int, end: int) -> Iterator[Item]:
        while offset < end:
            request = admin.BrowseRequest(
                topic=self.topic, queue=queue, offset=offset, records_max=min(PAGE, end - offset)
            )
            reply = self.run.read(lambda stubs: stubs.admin.Browse, request)
            for delivery in reply.deliveries:
                yield from delivery_items(delivery)
            if reply.next_offset <= offset:
                return
            offset = reply.next_offset

    def _print(self, item: Item) -> None:
        key = item["key"] if item["key"] is not None else "<not text>"
        place = f"{item['visible_time'] or '-'}  {item['topic']}/{item['queue']}@{item['offset']}"
        self.run.printer.entry(item, f"{place}  {plain_text(str(key)) or '-'}  {show_body(item)}")
