"""Makes, deletes and looks at topics of a few names, several callers at once, and writes down what it was told.

`python -m tests.workloads.administering --addresses A,B,C --name NAME --history FILE`
"""

import argparse
import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from tallymq.proto import admin_pb2, admin_pb2_grpc
from tests.workloads.bodies import now_us
from tests.workloads.history import Outcome, Topic, TopicCall
from tests.workloads.orders import Orders
from tests.workloads.recorder import Recorder

NAMES = ("linen", "cotton")
QUEUES = (1, 2)
CALLS = (TopicCall.CREATE, TopicCall.CREATE, TopicCall.DELETE)
"""Reads are left out: any node answers them, from its own copy. Making a topic that is there reads at the leader."""
CALLERS = 3
CALL_S = 8.0
PAUSE_S = 0.4
DETAILS = "grpc-status-details-bin"


@dataclass(frozen=True)
class Options:
    """What is asked for."""

    addresses: str
    name: str
    history: Path


def refusal_of(error: grpc.aio.AioRpcError) -> tuple[str, bool]:
    """The name of a refusal, and whether the call certainly did not happen."""
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS:
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info):
                    return info.reason, info.metadata["definite"] == "true"
    return "", False


class Administrator:
    """One caller."""

    def __init__(self, client: str, addresses: list[str], recorder: Recorder) -> None:
        self.client = client
        self.recorder = recorder
        self.chooser = random.Random(client)
        self.channels = [grpc.aio.insecure_channel(each, options=[("grpc.max_reconnect_backoff_ms", 500)])
                         for each in addresses]  # fmt: skip

    async def work(self, stopped: asyncio.Event) -> None:
        """Calls until told to stop."""
        while not stopped.is_set():
            call = self.chooser.choice(CALLS)
            await self.call(call, self.chooser.choice(NAMES), self.chooser.choice(QUEUES))
            with suppress(TimeoutError):
                await asyncio.wait_for(stopped.wait(), PAUSE_S)
        for channel in self.channels:
            await channel.close()

    async def call(self, call: TopicCall, name: str, queues: int) -> None:
        """Asks one node after the other, until one leads; writes down what became of it."""
        self.chooser.shuffle(self.channels)
        began = now_us()
        outcome, reason, seen = Outcome.REFUSED, "", queues
        for channel in self.channels:
            outcome, reason, seen = await self.ask(admin_pb2_grpc.AdminStub(channel), call, name, queues)
            if reason != "NOT_LEADER":
                break
        if call is TopicCall.GET and outcome is not Outcome.OK and reason != "UNKNOWN_TOPIC":
            return
        absent, differs = reason == "UNKNOWN_TOPIC", reason == "TOPIC_EXISTS"
        self.recorder.note(Topic(self.client, began, now_us(), outcome, call, name, seen, absent, differs))

    @staticmethod
    async def ask(stub: Any, call: TopicCall, name: str, queues: int) -> tuple[Outcome, str, int]:
        """What one node says: outcome, name of the refusal, number of queues."""
        try:
            if call is TopicCall.CREATE:
                await stub.CreateTopic(admin_pb2.CreateTopicRequest(name=name, queue_count=queues), timeout=CALL_S)
            elif call is TopicCall.DELETE:
                await stub.DeleteTopic(admin_pb2.DeleteTopicRequest(name=name), timeout=CALL_S)
            else:
                reply = await stub.GetTopic(admin_pb2.GetTopicRequest(name=name), timeout=CALL_S)
                queues = len(reply.topic.queue_shards)
        except grpc.aio.AioRpcError as error:
            reason, definite = refusal_of(error)
            return Outcome.REFUSED if definite else Outcome.UNKNOWN, reason, queues
        return Outcome.OK, "", queues


async def run(options: Options) -> None:
    """Works until told to stop."""
    recorder, orders = Recorder(options.history), Orders()

    def says() -> str:
        recorder.flush()
        return f"succeeded {recorder.succeeded}"

    telling = asyncio.create_task(orders.tell(says))
    addresses = options.addresses.split(",")
    callers = [Administrator(f"{options.name}-{number}", addresses, recorder) for number in range(CALLERS)]
    await asyncio.gather(*(caller.work(orders.stopped) for caller in callers))
    print("stopped", flush=True)
    await orders.ended.wait()
    await telling
    recorder.close()


def main() -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(prog="python -m tests.workloads.administering")
    for name in ("--addresses", "--name"):
        parser.add_argument(name, required=True)
    parser.add_argument("--history", type=Path, required=True)
    asyncio.run(run(Options(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
