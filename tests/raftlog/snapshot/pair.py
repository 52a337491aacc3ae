"""Two nodes of one shard in memory: a leader that has a state, a follower that gets it; every step can be the last."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable
from random import Random

import google_crc32c

from tallymq.raftlog.codec import encode_entry
from tallymq.raftlog.keys import applied_range, location_range, stage_key, state_range
from tallymq.raftlog.log import LogSettings, NodeLog
from tallymq.raftlog.replica import Replica
from tallymq.raftlog.snapshot import Parts, Rate, Slots, Snapshots, SnapshotSettings
from tallymq.raftlog.snapshot_codec import decode_snapshot, encode_snapshot
from tallymq.raftlog.snapshot_messages import Envelope, SnapshotMessage
from tallymq.raftlog.store import Pair
from tallymq.txn import queries
from tallymq.txn.commands import Command, Decide, Decision, EnsureQueue, Prepare, Publish
from tallymq.txn.outcomes import Refusal
from tallymq.txn.types import Batch, Identity
from tests.support.memory_disk import MemoryDisk
from tests.support.power_cut_store import PowerCutStore

SHARD = 2
TOPIC = "ledger"
TERM = 50
NOW_MS = 1_700_000_000_000
SETTINGS = SnapshotSettings(
    bytes_per_s=1 << 30, message_bytes=2_000, window_bytes=8_000, retry_ms=100, patience_ms=2_000
)


class CrashError(Exception):
    """The process ends here."""


class CountingStore(PowerCutStore):
    """Calls `before` and `after` around every write and flush, as the disk in memory does."""

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]] = ()) -> None:
        super().__init__(pairs)
        self.before: Callable[[str], None] = lambda operation: None
        self.after: Callable[[str], None] = lambda operation: None

    def write(self, pairs: Iterable[Pair]) -> bool:
        self.before("store write")
        written = super().write(pairs)
        self.after("store write")
        return written

    def flush(self) -> None:
        self.before("store flush")
        super().flush()
        self.after("store flush")


def revived(store: PowerCutStore) -> CountingStore:
    return CountingStore(store.pairs())


class Place:
    """What consensus would be for a snapshot, and what it was told."""

    def __init__(self, *, is_leader: bool) -> None:
        self.is_leader = is_leader
        self.term = TERM
        self.done: list[tuple[str, int]] = []
        self.restored_to: list[int] = []
        self.heard: list[tuple[str, int]] = []

    def heard_leader(self, peer: str, term: int) -> bool:
        if term < self.term:
            return False
        self.term = term
        self.heard.append((peer, term))
        return True

    def may_restore(self, index: int) -> bool:
        return not self.is_leader

    def restored(self, applied_index: int) -> None:
        self.restored_to.append(applied_index)

    def snapshot_done(self, peer: str, index: int) -> None:
        self.done.append((peer, index))


class Flushes:
    """Flushes when asked whether it has."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._requested = self._finished = 0

    def request(self) -> int:
        self._requested += 1
        return self._requested

    def done(self, ticket: int) -> bool:
        if self._finished < ticket:
            self._node.flush()
            self._finished = self._requested
        return True


class Node:
    """One node, opened from its disk and store."""

    def __init__(
        self, pair: Pair2, name: str, disk: MemoryDisk, store: CountingStore, *, is_leader: bool, life: int
    ) -> None:
        self.pair, self.name, self.disk, self.store = pair, name, disk, store
        random = Random(f"{name} {life}")
        settings = LogSettings(draw_salt=lambda: random.getrandbits(64), segment_bytes=64 * 1024)
        self.log = NodeLog.open(disk, store, settings)
        generation = self.log.shard_state(SHARD).generation
        self.replica = Replica(SHARD, store, self.log, generation=generation)
        self.place = Place(is_leader=is_leader)
        self.installed = 0
        parts = Parts(
            shard=SHARD,
            member=lambda: name,
            store=store,
            log=self.log,
            replica=self.replica,
            place=self.place,
            flushes=Flushes(self),
            configuration=lambda index: b"members at %d" % index,
            send=self._send,
            now_ms=lambda: pair.now_ms,
            installed=self._installed,
            peers=lambda: sorted({"a", "b"} - {name}),
        )
        self.snapshots = Snapshots(parts, pair.settings, Rate(pair.settings.bytes_per_s, pair.now_ms), Slots(2))

    def _installed(self) -> None:
        self.installed += 1

    def _send(self, peer: str, envelope: Envelope, urgent: bool) -> bool:
        return self.pair.carry(self.name, peer, envelope)

    def do(self, command: Command, *bodies: bytes) -> object:
        """Append, sync and apply one entry of one command."""
        index = self.log.shard_state(SHARD).last_index + 1
        payload = b"".join(encode_entry(NOW_MS + index, [(command, bodies)]))
        self.log.append_entry(SHARD, index, 1 + index // 10, [payload])
        self.sync()
        result = self.replica.apply(index, 1, payload)[0]
        assert not isinstance(result, Refusal), result
        return result

    def sync(self) -> None:
        written = self.log.write_round()
        if written is not None:
            self.log.sync()
            self.log.note_synced(written)
            self.snapshots.synced()

    def flush(self) -> None:
        assert self.replica.flush_writes()
        assert self.store.write(self.log.flush_mark({SHARD: self.replica.applied_index}))
        self.store.flush()
        self.log.flushes.completed()

    # What can be seen

    def state(self) -> str:
        """A digest of the state in use."""
        found = hashlib.sha256()
        for key, value in self.replica.view.range(b"", b"\xff" * 64, 1 << 20):
            found.update(len(key).to_bytes(4, "big") + key + len(value).to_bytes(4, "big") + value)
        return found.hexdigest()

    def bodies(self) -> dict[int, bytes]:
        """Every visible message, and every half: place to the bytes of its batch."""
        found: dict[int, bytes] = {}
        view = self.replica.view
        for piece in queries.browse(view, TOPIC, SHARD, 0, 10_000):
            found[piece.first_offset] = self.read(piece.reference)
        return found

    def read(self, reference: object) -> bytes:
        data = self.log.read_slice(SHARD, reference.index, reference.start, reference.length)  # type: ignore[attr-defined]
        assert google_crc32c.value(data) == reference.crc32c  # type: ignore[attr-defined]
        return data

    def surplus(self) -> list[bytes]:
        """Keys that belong neither to the state in use nor to what it refers to."""
        generation = self.replica.generation
        keys = [stage_key(SHARD)] if self.store.get(stage_key(SHARD)) is not None else []
        for start, end in (state_range(SHARD, generation + 1, 1 << 20), location_range(SHARD, self.applied + 1)):
            keys += [key for key, _ in self.store.range(start, end, 100)]
        if generation:
            keys += [key for key, _ in self.store.range(*state_range(SHARD, 0, generation - 1), 100)]
        return keys + [key for key, _ in self.store.range(*applied_range(), 100)][1:]

    @property
    def applied(self) -> int:
        return self.replica.applied_index


class Pair2:
    """The leader "a", the follower "b", and what is on its way between them, as bytes."""

    def __init__(self, settings: SnapshotSettings = SETTINGS, seed: int = 1) -> None:
        self.settings = settings
        self.chance = Random(seed)
        self.now_ms = 1_000
        self.lives = 0
        self.queue: deque[tuple[str, str, bytes]] = deque()
        self.sent: list[tuple[str, SnapshotMessage]] = []
        self.connected = True
        self.before_send: Callable[[str], None] = lambda source: None
        self.after_send: Callable[[str], None] = lambda source: None
        self.nodes: dict[str, Node] = {}
        self.open("a", MemoryDisk(), CountingStore())
        self.open("b", MemoryDisk(), CountingStore())

    def open(self, name: str, disk: MemoryDisk, store: CountingStore) -> Node:
        self.lives += 1
        self.nodes[name] = Node(self, name, disk, store, is_leader=name == "a", life=self.lives)
        return self.nodes[name]

    @property
    def a(self) -> Node:
        return self.nodes["a"]

    @property
    def b(self) -> Node:
        return self.nodes["b"]

    def carry(self, source: str, target: str, envelope: Envelope) -> bool:
        if not self.connected:
            return False
        self.before_send(source)
        self.sent.append((source, envelope.message))
        self.queue.append((source, target, b"".join(encode_snapshot(envelope))))
        self.after_send(source)
        return True

    def step(self) -> None:
        """Deliver what is on its way, sync, tick; then let some time pass."""
        for _ in range(len(self.queue)):
            source, target, frame = self.queue.popleft()
            node = self.nodes.get(target)
            if node is not None:
                node.snapshots.received(source, decode_snapshot(frame))
        for node in list(self.nodes.values()):
            node.sync()
            for _ in range(4):
                if node.snapshots.next_deadline_ms <= self.now_ms:
                    node.snapshots.tick()
            node.sync()
        self.now_ms += 5

    def run(self, until: Callable[[], bool], steps: int = 3_000) -> None:
        """Go on until it is so."""
        for _ in range(steps):
            if until():
                return
            self.step()
        raise AssertionError("it never came to that")

    def cut(self) -> None:
        """The link breaks; what was on its way is gone."""
        self.connected = False
        self.queue.clear()

    def heal(self) -> None:
        """The link comes up."""
        self.connected = True
        for node, peer in ((self.a, "b"), (self.b, "a")):
            node.snapshots.connected(peer)

    def crash(self, name: str, *, power: bool) -> Node:
        """End a process, with or without the machine's power; open what is found afterwards."""
        node = self.nodes.pop(name)
        disk, store = node.disk, node.store
        disk.before = disk.after = store.before = store.after = lambda operation: None
        self.queue = deque(item for item in self.queue if name not in item[:2])
        disk = disk.power_cut(self.chance) if power else disk.killed()
        # What the store had not flushed dies with the process: there is no log of its own.
        return self.open(name, disk, revived(store.power_cut(self.chance)))


def body_of(number: int) -> bytes:
    seed = hashlib.sha256(number.to_bytes(8, "big")).digest()
    return seed * (1 + number % 40)


def batch_of(body: bytes, count: int = 1) -> Batch:
    return Batch(TOPIC, SHARD, 4, count, 0, len(body), google_crc32c.value(body))


def fill(node: Node, count: int, first: int = 0) -> None:
    """Give the node a state: messages, halves in doubt, committed and rolled back."""
    if first == 0:
        node.do(EnsureQueue(TOPIC, 1, SHARD, 4, 0, 0))
    for number in range(first, first + count):
        body, identity = body_of(number), Identity(7, number, NOW_MS + 600_000)
        if number % 4 == 3:
            node.do(Prepare(identity, "producers", "", (batch_of(body, 8),), 60_000), body)
            index = node.applied
            if number % 8 == 3:
                node.do(Decide("producers", "", "call", (Decision(index, 0, 7, number, 0b0101, 0b0010),)))
        else:
            node.do(Publish(identity, "producers", "", (batch_of(body),)), body)


def started(count: int = 40, settings: SnapshotSettings = SETTINGS) -> Pair2:
    pair = Pair2(settings)
    fill(pair.a, count)
    pair.a.snapshots.behind("b")
    return pair


def check_equal(pair: Pair2) -> None:
    """The follower has the leader's state, and every body of it."""
    assert pair.b.state() == pair.a.state()
    assert pair.b.bodies() == pair.a.bodies()
    assert pair.b.applied == pair.a.applied
    assert pair.b.replica.stamped_ms == pair.a.replica.stamped_ms
    assert pair.b.log.shard_state(SHARD).base_index == pair.a.applied


def is_done(pair: Pair2) -> bool:
    return bool(pair.a.place.done) and not pair.b.surplus()
