"""Publishes and decides transactions at a steady rate, and writes down what it was told.

`python -m tests.workloads.producing --url URL --topic NAME --queues N --rate R --name NAME --history FILE`
"""

import argparse
import asyncio
import random
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path

from tallymq import AlreadyCommitted, AlreadyRolledBack, AsyncHalf, AsyncTally, HalfMessage, TallyError
from tallymq import Decision as Answer
from tallymq._records import queue_of_key
from tests.workloads.bodies import digest, id_of, make_body, now_us, verdict
from tests.workloads.history import Check, Decide, Decision, Message, Outcome, Prepare, Publish
from tests.workloads.orders import Orders
from tests.workloads.recorder import Recorder

BURSTS_PER_S = 10
IN_FLIGHT_MAX = 400
TIMEOUT_S = 8.0
TRANSACTIONS_SHARE = 0.4
FORGOTTEN_SHARE = 0.1
"""Of the transactions: nobody decides them, so the service must ask."""
CONTESTED_SHARE = 0.1
"""Of the transactions: two callers want opposite things."""
REPEATS_MAX = 3

OTHER = {Decision.COMMITTED: Decision.ROLLED_BACK, Decision.ROLLED_BACK: Decision.COMMITTED}


@dataclass(frozen=True)
class Options:
    """What is asked for. `rate` is operations a second."""

    url: str
    topic: str
    queues: int
    rate: float
    name: str
    history: Path


def outcome_of(error: TallyError) -> Outcome:
    """What a failed call leaves its caller knowing."""
    return Outcome.REFUSED if error.definite else Outcome.UNKNOWN


class Producer:
    """One producer process: its group is its name."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.recorder = Recorder(options.history)
        self.chooser = random.Random(options.name)
        self.sequence = 0
        self.tasks: set[asyncio.Task[None]] = set()
        self.tally = AsyncTally(options.url, group=options.name, timeout_s=TIMEOUT_S)
        self.tally.check(options.topic)(self.asked)

    async def asked(self, half: HalfMessage) -> Answer:
        """Answers the service; whether the answer counts is not known here."""
        message_id, at = id_of(half.body), now_us()
        wanted = verdict(message_id)
        self.recorder.note(Check(self.options.name, at, at, message_id))
        self.recorder.note(Decide(self.options.name, at, at, Outcome.UNKNOWN, message_id, wanted))
        return Answer.COMMIT if wanted is Decision.COMMITTED else Answer.ROLLBACK

    def message(self) -> tuple[bytes, str, Message]:
        """A new body, its key, and what the history says of it."""
        self.sequence += 1
        message_id = f"{self.options.name}-{self.sequence}"
        body = make_body(message_id)
        queue = queue_of_key(message_id.encode(), self.options.queues)
        return body, message_id, Message(message_id, digest(body), self.options.topic, queue)

    async def publish(self) -> None:
        """One message."""
        body, key, message = self.message()
        began = now_us()
        offsets: tuple[int, ...] = ()
        try:
            receipt = await self.tally.publish(self.options.topic, body, key=key)
        except TallyError as error:
            outcome = outcome_of(error)
        else:
            outcome = Outcome.OK
            assert receipt.queue == message.queue, "a key is on another queue than its hash says"
            offsets = () if receipt.offset is None else (receipt.offset,)
        self.recorder.note(Publish(self.options.name, began, now_us(), outcome, (message,), offsets))

    async def transact(self) -> None:
        """One half message, and what becomes of it."""
        body, key, message = self.message()
        began = now_us()
        half: AsyncHalf | None = None
        try:
            half = await self.tally.prepare(self.options.topic, body, key=key)
            outcome = Outcome.OK
        except TallyError as error:
            outcome = outcome_of(error)
        group = self.options.name
        self.recorder.note(Prepare(self.options.name, began, now_us(), outcome, message.id, group, (message,)))
        lot = self.chooser.random()
        if half is None or lot < FORGOTTEN_SHARE:
            return
        wanted = verdict(message.id)
        if lot < FORGOTTEN_SHARE + CONTESTED_SHARE:
            await asyncio.gather(
                self.decide(half, message.id, wanted, "-a"), self.decide(half, message.id, OTHER[wanted], "-b")
            )
        else:
            await self.decide(half, message.id, wanted)

    async def decide(self, half: AsyncHalf, transaction: str, wanted: Decision, caller: str = "") -> None:
        """Says it until an answer comes, a few times; after that the service must ask."""
        for _ in range(REPEATS_MAX):
            began = now_us()
            found: Decision | None = None
            try:
                await (half.commit() if wanted is Decision.COMMITTED else half.rollback())
                outcome = Outcome.OK
            except AlreadyCommitted:
                outcome, found = Outcome.REFUSED, Decision.COMMITTED
            except AlreadyRolledBack:
                outcome, found = Outcome.REFUSED, Decision.ROLLED_BACK
            except TallyError as error:
                outcome = outcome_of(error)
            client = self.options.name + caller
            self.recorder.note(Decide(client, began, now_us(), outcome, transaction, wanted, found))
            if outcome is Outcome.OK or found is not None:
                return

    async def run(self) -> None:
        """Works until told to stop, answers until told to go."""
        orders = Orders()
        async with self.tally:
            await self.tally.start()
            telling = asyncio.create_task(orders.tell(self.says))
            loop = asyncio.get_running_loop()
            due, debt = loop.time(), 0.0
            while not orders.stopped.is_set():
                debt += self.options.rate / BURSTS_PER_S
                for _ in range(min(int(debt), IN_FLIGHT_MAX - len(self.tasks))):
                    self.begin(self.transact() if self.chooser.random() < TRANSACTIONS_SHARE else self.publish())
                debt -= int(debt)
                due = max(due + 1 / BURSTS_PER_S, loop.time())
                await asyncio.sleep(due - loop.time())
            if self.tasks:
                await asyncio.wait(self.tasks)
            self.recorder.flush()
            print("stopped", flush=True)
            await orders.ended.wait()
            await telling
        self.recorder.close()

    def begin(self, work: Coroutine[None, None, None]) -> None:
        """Starts one operation; what it raises ends the process."""
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.finished)

    def finished(self, task: asyncio.Task[None]) -> None:
        """Notes that it is over."""
        self.tasks.discard(task)
        task.result()

    def says(self) -> str:
        """How much was answered OK so far."""
        self.recorder.flush()
        return f"succeeded {self.recorder.succeeded}"


def main() -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(prog="python -m tests.workloads.producing")
    for name in ("--url", "--topic", "--name"):
        parser.add_argument(name, required=True)
    parser.add_argument("--queues", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--history", type=Path, required=True)
    options = Options(**vars(parser.parse_args()))

    async def work() -> None:
        await Producer(options).run()

    asyncio.run(work())


if __name__ == "__main__":
    main()
