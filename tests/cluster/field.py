"""Nodes, each on a machine of its own: a network namespace, a disk whose power can be cut, a clock that can jump."""

import os
import subprocess
from pathlib import Path

from tests.support.filesystem import LoopFileSystem, cut_power_together
from tests.support.network import Network, run
from tests.support.nodes import Cluster, Node

KINDS = ("xfs", "ext4")
CLOCK_LIBRARY = "libfaketime.so.1"
FREE_BYTES_MIN = 64 << 20
READY_S = 180.0
SETTINGS = {
    # Traffic stays in namespaces of our own: clients need no TLS there. Peers have it all the same.
    "insecure": True,
    "free_bytes_min": FREE_BYTES_MIN,
    "check_after_ms": 2_000,
    "orphan_after_ms": 2_000,
    "flush_interval_ms": 5_000,
    "segment_bytes": 16 << 20,
}
SYNCS = "fsync,fdatasync,sync_file_range,msync"
LYING_SYNC = ("strace", "-D", "-f", "--seccomp-bpf", "-qq", "-o", os.devnull, "-e", f"trace={SYNCS}",
              "-e", f"inject={SYNCS}:retval=0")  # fmt: skip


class Field:
    """A cluster of 3 or 5 on machines. `control`: "" or a way to spoil it, "no-sync" or "lying-sync"."""

    def __init__(
        self, folder: Path, node_count: int, image_bytes: int, control: str = "", clocks: bool = False
    ) -> None:
        self.network = Network()
        names = [f"node-{number}" for number in range(1, node_count + 1)]
        hosts = [self.network.add(name) for name in names]
        self.cluster = Cluster.create(folder / "cluster", node_count, SETTINGS, hosts=hosts)
        self.volumes: dict[str, LoopFileSystem] = {}
        self.clocks: dict[str, Path] = {}
        self._slowed: dict[str, subprocess.Popen[bytes]] = {}
        for number, node in enumerate(self.cluster.nodes):
            disk = LoopFileSystem(folder / f"disk-{node.name}", KINDS[number % len(KINDS)], image_bytes)
            self.volumes[node.name] = disk
            configuration = node.folder / "node.toml"
            text = configuration.read_text(encoding="utf-8").replace(str(node.data), str(disk.folder / "data"))
            configuration.write_text(text, encoding="utf-8")
            node.wrapper = self.network.wrapper(node.name)
            if control == "no-sync":
                node.environment = {"LD_PRELOAD": "libeatmydata.so"}
            elif control == "lying-sync":
                node.wrapper = (*node.wrapper, *LYING_SYNC)
            elif clocks:
                node.environment = self._clock(node)

    def __enter__(self) -> "Field":
        return self

    def __exit__(self, *_: object) -> None:
        for tracer in self._slowed.values():
            tracer.kill()
        for node in self.nodes:
            if node.is_running:
                node.kill()
        for disk in self.volumes.values():
            disk.unmount()

    @property
    def nodes(self) -> list[Node]:
        """All nodes."""
        return self.cluster.nodes

    @property
    def names(self) -> list[str]:
        """Their names."""
        return [node.name for node in self.nodes]

    def _clock(self, node: Node) -> dict[str, str]:
        """Lets the node's wall clock follow a file; its monotonic clock stays the machine's."""
        library = next(Path("/usr/lib").glob(f"*/faketime/{CLOCK_LIBRARY}"))
        file = self.clocks[node.name] = node.folder / "clock"
        file.write_text("+0\n", encoding="utf-8")
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_CACHE_DURATION": "1",
        }

    def set_clock(self, name: str, ahead_s: int) -> None:
        """Sets a node's wall clock so far ahead of the machine's; negative: behind."""
        draft = self.clocks[name].with_suffix(".draft")
        draft.write_text(f"{ahead_s:+d}\n", encoding="utf-8")
        draft.replace(self.clocks[name])

    def keep_what_is_there(self) -> None:
        """Puts on the disks what was written until now: what is lost later is lost in a cluster that was in use."""
        for disk in self.volumes.values():
            run("sync", "--file-system", str(disk.folder))

    def cut_power(self, names: list[str]) -> None:
        """The disks of these nodes lose what is not on them, all at the same instant; then the nodes are dead."""
        cut_power_together([self.volumes[name] for name in names])
        for name in names:
            self.cluster.node(name).kill()
        for name in names:
            self.volumes[name].unmount()

    def power_up(self, names: list[str]) -> None:
        """The disks are there again, with what they hold, and the nodes start."""
        for name in names:
            self.volumes[name].mount()
            self.cluster.node(name).start()

    def slow_disk(self, name: str, delay_us: int) -> None:
        """From now on each sync of the node takes so much longer."""
        process = self.cluster.node(name).process
        assert process is not None
        rule = f"inject=fsync,fdatasync:delay_enter={delay_us}"
        self._slowed[name] = subprocess.Popen(
            [
                "strace",
                "-f",
                "-qq",
                "-o",
                os.devnull,
                "-e",
                "trace=fsync,fdatasync",
                "-e",
                rule,
                "-p",
                str(process.pid),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def heal_disks(self) -> None:
        """Syncs take as long as they take."""
        for tracer in self._slowed.values():
            tracer.terminate()
            tracer.wait(30)
        self._slowed.clear()

    def wait_whole(self, timeout_s: float = READY_S) -> dict[int, str]:
        """Waits until all nodes are ready and each shard has a leader; returns the leaders."""
        for node in self.nodes:
            node.wait_ready(timeout_s)
        return self.cluster.wait_leaders(timeout_s)
