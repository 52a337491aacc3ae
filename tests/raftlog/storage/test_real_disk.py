"""The same promises on a real file system, with a real RocksDB, for a process that is really killed."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tallymq.raftlog.disk import PIECES_MAX, RealDisk
from tallymq.raftlog.errors import BodyDamaged
from tallymq.raftlog.rocks import RocksStore
from tests.support import log_writer_program
from tests.support.log_writer_program import SHARDS, body
from tests.support.logs import append, apply_all, finish_round, open_log

ROOT = Path(__file__).resolve().parents[3]


def write_until_killed(folder: Path, lines: int) -> list[int]:
    """Start the program, kill it with SIGKILL after so many lines; returns the last synced index of each shard."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, str(Path(log_writer_program.__file__)), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        seen = [next(process.stdout) for _ in range(lines)]
        process.kill()
        seen += [line for line in process.stdout if line.endswith("\n")]
    return [int(number) for number in seen[-1].split()]


def test_a_killed_process_finds_everything_it_synced(tmp_path: Path) -> None:
    random = Random(11)
    for seed in range(4):
        synced = write_until_killed(tmp_path, random.randint(3, 120))
        store = RocksStore(tmp_path / "state", create=False)
        log = open_log(RealDisk(tmp_path / "log"), store, seed=seed, segment_bytes=256 * 1024)
        for shard in range(SHARDS):
            last = log.shard_state(shard).last_index
            assert last >= synced[shard]
            applied = log._shards[shard].applied
            for index in range(1, last + 1):
                assert log.read_entry(shard, index) == body(shard, index)
            for index in range(applied + 1, last + 1):
                store.write([log.location_pair(shard, index)])
        # Closed without a word to the log: the next process replays it again.
        store.close()


def test_many_pieces_and_large_ones_are_written_whole(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path / "log")
    file = disk.create("f")
    pieces = [b"%d," % number for number in range(3 * PIECES_MAX)] + [bytes(3 << 20)]
    file.write(10, pieces)
    whole = b"".join(pieces)
    assert file.read(10, len(whole) + 99) == whole
    assert file.length() == len(whole) + 10
    file.truncate(20)
    assert file.read(0, 99) == bytes(10) + whole[:10]
    file.allocate(8192)
    assert (file.length(), file.read(20, 8192)) == (8192, bytes(8172))
    file.synchronize()
    file.close()
    file.close()


def test_names_are_made_renamed_and_removed(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path / "log")
    disk.create("b").close()
    disk.create("a").close()
    with pytest.raises(FileExistsError):
        disk.create("a")
    (tmp_path / "log" / "folder").mkdir()
    assert disk.names() == ["a", "b"]
    disk.rename("b", "c")
    disk.remove("a")
    disk.synchronize_names()
    assert disk.names() == ["c"]
    with pytest.raises(FileNotFoundError):
        disk.open("b")
    assert disk.free_bytes() > 0


def test_a_short_write_is_continued_and_a_full_disk_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = RealDisk(tmp_path / "log").create("f")
    whole = os.pwritev

    def short(descriptor: int, buffers: list[bytes], offset: int) -> int:
        return whole(descriptor, [b"".join(buffers)[:5]], offset)

    monkeypatch.setattr(os, "pwritev", short)
    file.write(0, [b"1234", b"5678", b"9"])
    assert file.read(0, 99) == b"123456789"
    with Path("/dev/full").open("r+b") as full:
        os.dup2(full.fileno(), file._descriptor)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        file.write(0, [b"1234", b"5678"])
    file.close()


def test_a_segment_that_went_missing_is_a_damaged_body_and_not_a_crash(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "state", create=True)
    log = open_log(RealDisk(tmp_path / "log"), store, segment_bytes=8192)
    for _ in range(5):
        append(log, 0, bytes(3000))
        finish_round(log)
    apply_all(log, store, 0, 5)
    sorted((tmp_path / "log").iterdir())[1].unlink()
    with pytest.raises(BodyDamaged):
        log.read_entry(0, 2)
    with pytest.raises(BodyDamaged):
        log.read_slice(0, 2, 0, 10)
    assert log.read_entry(0, 3) == bytes(3000)
    log.close()
    store.close()
