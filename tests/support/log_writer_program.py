"""A process that writes a log and a store until it is killed, and prints what was synced, so that a test can check."""

import secrets
import sys
from pathlib import Path

from tallymq.raftlog.disk import RealDisk
from tallymq.raftlog.keys import applied_key, encode_applied
from tallymq.raftlog.log import LogSettings, NodeLog
from tallymq.raftlog.rocks import RocksStore

SHARDS = 3


def body(shard: int, index: int) -> bytes:
    return b"%d/%d|" % (shard, index) * (1 + (index * 37 + shard) % 400)


def main(folder: Path) -> None:
    store = RocksStore(folder / "state", create=not (folder / "state" / "CURRENT").exists())
    settings = LogSettings(draw_salt=lambda: secrets.randbits(64), segment_bytes=256 * 1024)
    log = NodeLog.open(RealDisk(folder / "log"), store, settings)
    applied = {shard: log.shard_state(shard).last_index for shard in range(SHARDS)}
    while True:
        for shard in range(SHARDS):
            first = log.shard_state(shard).last_index + 1
            for index in range(first, first + 1 + shard):
                log.append_entry(shard, index, 1, [body(shard, index)])
        written = log.write_round()
        assert written is not None
        log.sync()
        log.note_synced(written)
        last = [log.shard_state(shard).last_index for shard in range(SHARDS)]
        sys.stdout.write(" ".join(map(str, last)) + "\n")
        sys.stdout.flush()
        for shard in range(SHARDS):
            for index in range(applied[shard] + 1, last[shard] + 1):
                store.write([log.location_pair(shard, index), (applied_key(shard), encode_applied(index))])
            applied[shard] = last[shard]
            log.applied(shard, last[shard])
        if written % 40 == 0:
            store.write(log.flush_mark(applied))
            store.flush()
            log.flushes.completed()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
