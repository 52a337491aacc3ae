"""A produce stream to one node: frames go out, answers come back in any order, a break gives every frame back."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from tallymq._batcher import Frame
from tallymq._channel import BROKEN, MESSAGING, NodeChannel, OpenStream
from tallymq.exceptions import TallyError, Unavailable
from tallymq.proto import messaging_pb2

log = logging.getLogger("tallymq")

IDLE_S = 300.0
"""A stream that carried nothing for so long is closed; the next frame opens another."""


class ProduceLink:
    """Sends frames to one node. `answered(reply)` and `failed(frame, error)` are called on the loop."""

    def __init__(
        self,
        channel: NodeChannel,
        answered: Callable[[messaging_pb2.ProduceReply], None],
        failed: Callable[[Frame, TallyError], None],
    ) -> None:
        self._channel = channel
        self._answered = answered
        self._failed = failed
        self._outgoing: deque[Frame] = deque()
        self._unanswered: dict[int, Frame] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """The node's client address."""
        return self._channel.address

    def send(self, frame: Frame) -> None:
        """Take a frame; the lanes' windows bound how many there are."""
        frame.address = self.address
        self._outgoing.append(frame)
        self._wake.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    def forget(self, frame: Frame) -> None:
        """The frame went another way."""
        self._unanswered.pop(frame.correlation, None)

    async def close(self) -> None:
        """End the stream."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        problem: TallyError = Unavailable(f"{self.address} ended the stream.")
        try:
            async with self._channel.stream(MESSAGING + "Produce", messaging_pb2.ProduceReply) as stream:
                await self._exchange(stream)
        except TallyError as error:
            problem = error
        except BROKEN as error:
            problem = Unavailable(f"{self.address} cannot be reached: {str(error) or type(error).__name__}.")
        except asyncio.CancelledError:
            problem = Unavailable("The client was closed.")
            raise
        finally:
            self._give_back(problem)

    async def _exchange(self, stream: OpenStream[messaging_pb2.ProduceReply]) -> None:
        writer = asyncio.create_task(self._write(stream))
        reader = asyncio.create_task(self._read(stream))
        try:
            await asyncio.wait({writer, reader}, return_when=asyncio.FIRST_COMPLETED)
            for task in (reader, writer):
                if task.done():
                    task.result()
        finally:
            writer.cancel()
            reader.cancel()
            await asyncio.gather(writer, reader, return_exceptions=True)

    async def _write(self, stream: OpenStream[messaging_pb2.ProduceReply]) -> None:
        loop = asyncio.get_running_loop()
        frame: Frame | None = None
        try:
            while True:
                while self._outgoing:
                    frame = self._outgoing.popleft()
                    if frame.address != self.address or not frame.data:
                        continue
                    frame.sent = True
                    frame.sent_time = loop.time()
                    self._unanswered[frame.correlation] = frame
                    await stream.write(frame.data)
                self._wake.clear()
                try:
                    async with asyncio.timeout(IDLE_S):
                        await self._wake.wait()
                except TimeoutError:
                    if not self._unanswered and not self._outgoing:
                        return
        finally:
            # What breaks a stream keeps the variables of this call, in a cycle that an idle program may never collect:
            # by its last frame it kept the claims of callers who had long given up, and no check could decide.
            frame = None

    async def _read(self, stream: OpenStream[messaging_pb2.ProduceReply]) -> None:
        while (reply := await stream.read()) is not None:
            self._unanswered.pop(reply.correlation, None)
            self._answered(reply)

    def _give_back(self, problem: TallyError) -> None:
        frames = [*self._unanswered.values(), *self._outgoing]
        self._unanswered.clear()
        self._outgoing.clear()
        for frame in frames:
            if frame.address == self.address:
                self._failed(frame, problem)
