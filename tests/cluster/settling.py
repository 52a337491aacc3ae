"""What is left when nothing disturbs a cluster any more: all transactions decided, groups done, queues read."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import grpc

from tallymq.proto import admin_pb2, admin_pb2_grpc
from tests.cluster.field import Field
from tests.cluster.load import Load
from tests.support.waiting import wait_for
from tests.workloads.bodies import digest, id_of, now_us
from tests.workloads.history import Calm, Drained, History, Log, Record, Stand, encode, read

GROUPS = ("workers", "audit")
DECIDED_S = 240.0
DRAINED_S = 240.0
CALL_S = 30.0
BROWSE_MAX = 1_000
CHECK_GAP_US_MAX = 60_000_000


class Settled:
    """A cluster at rest: what it holds, as events of a history. Only what is whole is asked."""

    def __init__(self, field: Field, topic: str, queues: int, load: Load) -> None:
        self.field = field
        self.topic = topic
        self.queues = queues
        self.load = load
        self.events: list[History] = []

    def settle(self) -> None:
        """Waits, and reads. Raises TimeoutError where something never comes to rest."""
        self.field.wait_whole()
        began = now_us()
        self.load.stop()
        wait_for("every transaction decided", self._is_decided, DECIDED_S)
        for producer in self.load.producers:
            self.events.append(Calm("harness", began, now_us(), producer.name, CHECK_GAP_US_MAX))
        ends = self._read_queues()
        wait_for("every group done", lambda: self._is_drained(ends), DRAINED_S)
        self.load.end()

    def _admins(self) -> Iterator[admin_pb2_grpc.AdminStub]:
        for node in self.field.nodes:
            with grpc.insecure_channel(node.client_address) as channel:
                yield admin_pb2_grpc.AdminStub(channel)

    def _is_decided(self) -> bool:
        """On every node, for a copy may be behind, but none is ahead."""
        self.load.expect_running()
        try:
            for admin in self._admins():
                reply = admin.GetClusterStatus(admin_pb2.GetClusterStatusRequest(), timeout=CALL_S)
                if any(shard.in_doubt or shard.health != "ok" for shard in reply.shards):
                    return False
        except grpc.RpcError:
            return False
        return True

    def _read_queues(self) -> list[int]:
        """Reads every queue at its leader; returns where each ends."""
        leaders = self.field.wait_whole()
        shards = self.field.cluster.create_topic(self.topic, self.queues).queue_shards
        ends = []
        for queue, shard in enumerate(shards):
            address = self.field.cluster.node(leaders[shard]).client_address
            with grpc.insecure_channel(address) as channel:
                log = read_queue(admin_pb2_grpc.AdminStub(channel), self.topic, queue)
            self.events.append(log)
            ends.append(log.next_offset)
        return ends

    def _is_drained(self, ends: list[int]) -> bool:
        """True once every group stands at the end of every queue; then it is noted."""
        self.load.expect_running()
        events: list[History] = []
        for group in GROUPS:
            floors = self._floors(group, events)
            if [floors.get(queue, 0) for queue in range(len(ends))] != ends:
                return False
            events += [Drained("harness", now_us(), now_us(), group, self.topic, queue) for queue in range(len(ends))]
        self.events += events
        return True

    def _floors(self, group: str, events: list[History]) -> dict[int, int]:
        """Below which offset a group is done on each queue, by the copy of any node: none is ahead."""
        began = now_us()
        floors: dict[int, int] = {}
        for admin in self._admins():
            reply = admin.GetGroup(admin_pb2.GetGroupRequest(name=group), timeout=CALL_S)
            for one in reply.group.queues:
                if one.topic == self.topic and one.floor_offset >= floors.get(one.queue, 0):
                    floors[one.queue] = one.floor_offset
        for queue, floor in floors.items():
            events.append(Stand("harness", began, now_us(), group, self.topic, queue, floor, floor))
        return floors


def read_queue(admin: admin_pb2_grpc.AdminStub, topic: str, queue: int) -> Log:
    """Everything on one queue."""
    began, offset, first = now_us(), 0, None
    records: list[Record] = []
    while True:
        request = admin_pb2.BrowseRequest(topic=topic, queue=queue, offset=offset, records_max=BROWSE_MAX)
        reply = admin.Browse(request, timeout=CALL_S)
        for delivery in reply.deliveries:
            first = delivery.first_offset if first is None else first
            records += [
                Record(delivery.first_offset + place, id_of(record.body), digest(record.body))
                for place, record in enumerate(delivery.records.records)
            ]
        if not reply.deliveries:
            end = reply.next_offset
            return Log("harness", began, now_us(), topic, queue, end if first is None else first, end, tuple(records))
        offset = reply.next_offset


def gather(histories: Iterable[Path], events: Iterable[History], whole: Path) -> None:
    """Writes one history of many."""
    with whole.open("wb") as file:
        for path in histories:
            for event in read(path):
                file.write(encode(event) + b"\n")
        for event in events:
            file.write(encode(event) + b"\n")
