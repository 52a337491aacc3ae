"""A session stream to every node: by it the service finds somebody to ask, without a port open in this process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from tallymq._channel import BROKEN, MESSAGING, OpenStream
from tallymq._checks import Checks
from tallymq._engine import Engine
from tallymq._nodes import PerNode
from tallymq._records import bits_of
from tallymq.proto import messaging_pb2

log = logging.getLogger("tallymq")

Stream = OpenStream[messaging_pb2.SessionReply]

ANSWERS_AT_ONCE = 4
WAITING_MAX = 256
"""Checks of one session that wait for their turn; more are answered UNKNOWN at once and come again."""


class Sessions:
    """Belongs to the engine's loop."""

    def __init__(self, engine: Engine, checks: Checks) -> None:
        self._engine = engine
        self._checks = checks
        self._turn = asyncio.Semaphore(ANSWERS_AT_ONCE)
        self._opened: set[str] = set()
        self._changed = asyncio.Event()
        self._per_node = PerNode(engine.routes, self._serve, "Session")
        engine.on_new_instance = self._per_node.restart

    def start(self) -> None:
        """Open them."""
        self._per_node.start()

    async def close(self) -> None:
        """Close them."""
        await self._per_node.close()

    async def wait_until_open(self) -> None:
        """Return once there is a session at one node at least."""
        while not self._opened:
            self._changed.clear()
            await self._changed.wait()

    async def _serve(self, address: str, opened: Callable[[], None]) -> None:
        waiting: set[asyncio.Task[None]] = set()
        async with self._engine.channels.of(address).stream(
            MESSAGING + "Session", messaging_pb2.SessionReply
        ) as stream:
            try:
                await stream.write(messaging_pb2.SessionRequest(hello=self._hello()))
                while (reply := await stream.read()) is not None:
                    if reply.HasField("welcome"):
                        opened()
                        self._opened.add(address)
                        self._changed.set()
                    elif reply.HasField("check"):
                        await self._take(stream, reply.check, waiting)
            finally:
                self._opened.discard(address)
                for task in waiting:
                    task.cancel()
                await asyncio.gather(*waiting, return_exceptions=True)

    def _hello(self) -> messaging_pb2.SessionHello:
        return messaging_pb2.SessionHello(
            producer_group=self._engine.settings.group,
            instance=self._engine.instance,
            wants_records=self._checks.wants_records,
            client=self._engine.settings.client,
        )

    async def _take(self, stream: Stream, check: messaging_pb2.Check, waiting: set[asyncio.Task[None]]) -> None:
        if len(waiting) >= WAITING_MAX:
            await self._say(stream, check.check, 0, 0)
            return
        task = asyncio.create_task(self._answer(stream, check))
        waiting.add(task)
        task.add_done_callback(waiting.discard)

    async def _answer(self, stream: Stream, check: messaging_pb2.Check) -> None:
        async with self._turn:
            commit, roll_back = await self._checks.answer(check)
        # A stream that broke meanwhile is seen by its reader; the check comes again.
        with contextlib.suppress(*BROKEN):
            await self._say(stream, check.check, commit, roll_back)
            self._checks.confirm(check, commit)

    @staticmethod
    async def _say(stream: Stream, check: int, commit: int, roll_back: int) -> None:
        answer = messaging_pb2.CheckAnswer(check=check, commit_bits=bits_of(commit), roll_back_bits=bits_of(roll_back))
        await stream.write(messaging_pb2.SessionRequest(answer=answer))
