"""Small helpers for tests of the node's log."""

from random import Random

from tallymq.raftlog.disk import Disk
from tallymq.raftlog.keys import applied_key, encode_applied
from tallymq.raftlog.log import LogSettings, NodeLog
from tallymq.raftlog.store import Store


def open_log(disk: Disk, store: Store, *, seed: int = 1, segment_bytes: int = 64 * 1024) -> NodeLog:
    """Open a log whose salts come from a seed."""
    random = Random(seed)
    settings = LogSettings(draw_salt=lambda: random.getrandbits(64), segment_bytes=segment_bytes)
    return NodeLog.open(disk, store, settings)


def finish_round(log: NodeLog) -> int:
    """Write and sync what is open; returns the round."""
    written = log.write_round()
    assert written is not None
    log.sync()
    log.note_synced(written)
    return written


def append(log: NodeLog, shard: int, payload: bytes, *, term: int = 1) -> int:
    """Append one entry after the last; returns its index."""
    index = log.shard_state(shard).last_index + 1
    log.append_entry(shard, index, term, [payload])
    return index


def apply_all(log: NodeLog, store: Store, shard: int, until: int) -> None:
    """Do to the store what a replica does for the entries up to `until`."""
    for index in range(1, until + 1):
        assert store.write([log.location_pair(shard, index), (applied_key(shard), encode_applied(index))])
    log.applied(shard, until)


def entries(log: NodeLog, shard: int) -> list[bytes]:
    """Read the payloads of all entries."""
    return [log.read_entry(shard, index + 1) for index in range(log.shard_state(shard).last_index)]
