"""A disk with no room left: a node says so and refuses writes, and nothing that was stored suffers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tallymq.proto import admin_pb2, admin_pb2_grpc, messaging_pb2, messaging_pb2_grpc
from tests.service.running import batch, bodies, error_info
from tests.support.filesystem import LoopFileSystem
from tests.support.nodes import Cluster, Node
from tests.support.ports import free_port
from tests.support.waiting import wait_for
from tests.workloads.publishing import browse_all

pytestmark = pytest.mark.needs_root

TOPIC = "transfers"
CALL_S = 30.0
# Rounds of looking at the disk and of flushing while it is full: one each second.
REFUSALS = 40
ROOM_BYTES = 300 << 20
RETENTION_MS = 20_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[LoopFileSystem]:
    with LoopFileSystem(tmp_path / "disk") as made:
        yield made


@pytest.fixture
def cluster(tmp_path: Path, disk: LoopFileSystem) -> Iterator[Cluster]:
    """A node on the disk, which brings its store to the disk as often as it can."""
    with Cluster.create(tmp_path / "cluster", 1, settings={"flush_interval_ms": 100, "segment_bytes": 1 << 20}) as made:
        node = made.nodes[0]
        configuration = node.folder / "node.toml"
        text = configuration.read_text(encoding="utf-8").replace(str(node.data), str(disk.folder / "data"))
        configuration.write_text(text, encoding="utf-8")
        yield made


def publish(node: Node, text: str) -> str:
    """Publishes one message; the name of the refusal, or "" if it is stored."""
    request = messaging_pb2.PublishRequest(batches=[batch(TOPIC, bodies(text), 0, 1)])
    with grpc.insecure_channel(node.client_address) as channel:
        try:
            messaging_pb2_grpc.MessagingStub(channel).Publish(request, timeout=CALL_S)
        except grpc.RpcError as error:
            info = error_info(error)
        else:
            return ""
    assert info.metadata["definite"] == "true"
    return info.reason


def test_a_full_disk_at_start_is_one_clear_sentence_and_a_failure(disk: LoopFileSystem) -> None:
    disk.fill()
    command = [sys.executable, "-m", "tallymq.service", "--data", str(disk.folder / "data")]
    command += ["--listen", "127.0.0.1:0", "--listen-metrics", f"127.0.0.1:{free_port()}"]
    for options in ([], ["--set", "free_bytes_min=0"]):
        ended = subprocess.run(
            [*command, *options], cwd=disk.folder.parent, capture_output=True, text=True, timeout=120, check=False
        )
        said = [line for line in ended.stderr.splitlines() if line.startswith("tallymqd: ")]
        assert ended.returncode == 1, ended.stderr
        assert len(said) == 1, ended.stderr
        assert "free" in said[0] or "room" in said[0] or "No space" in said[0]
        assert str(disk.folder) in said[0]
        assert "Traceback" not in ended.stderr
        assert ended.stdout == ""


@pytest.mark.parametrize("free_bytes_min", [512 << 20, 0])
def test_a_disk_that_fills_refuses_writes_by_name_reads_go_on_and_room_cures_it(
    cluster: Cluster, disk: LoopFileSystem, free_bytes_min: int
) -> None:
    node = cluster.nodes[0]
    configuration = node.folder / "node.toml"
    configuration.write_text(f"free_bytes_min = {free_bytes_min}\n{configuration.read_text()}", encoding="utf-8")
    cluster.start()
    cluster.create_topic(TOPIC, 1)
    stored = []

    def is_refused() -> bool:
        text = f"message {len(stored)}"
        reason = publish(node, text)
        if not reason:
            stored.append(text.encode())
        assert reason in ("", "DISK_FULL", "OVERLOADED")
        return reason == "DISK_FULL"

    assert not is_refused()
    disk.fill()
    wait_for("a refusal", is_refused)
    for _ in range(REFUSALS):
        assert publish(node, "refused") == "DISK_FULL"
        assert browse_all(node.client_address, TOPIC, 0) == stored
    assert node.is_running
    disk.free()
    wait_for("a message to be taken", lambda: not is_refused())
    node.kill()
    cluster.start()
    assert browse_all(node.client_address, TOPIC, 0) == stored
    assert node.stop() == 0


def browse(node: Node) -> None:
    """Reads what is there; raises if reading is refused."""
    with grpc.insecure_channel(node.client_address) as channel:
        request = admin_pb2.BrowseRequest(topic=TOPIC, queue=0, offset=0, records_max=10)
        admin_pb2_grpc.AdminStub(channel).Browse(request, timeout=CALL_S)


def room(disk: LoopFileSystem) -> int:
    status = os.statvfs(disk.folder)
    return status.f_bavail * status.f_frsize


@pytest.mark.long
@pytest.mark.parametrize("free_bytes_min", [64 << 20])
def test_a_full_disk_empties_by_retention_and_writes_resume_by_themselves(
    cluster: Cluster, disk: LoopFileSystem, free_bytes_min: int
) -> None:
    """Nobody frees anything: messages grow old, are trimmed, and the files that held them are given back."""
    with (disk.folder / "hog").open("wb") as hog:
        os.posix_fallocate(hog.fileno(), 0, room(disk) - ROOM_BYTES)
    node = cluster.nodes[0]
    configuration = node.folder / "node.toml"
    text = f"free_bytes_min = {free_bytes_min}\nballast_bytes = {16 << 20}\nretention_interval_ms = 200\n"
    configuration.write_text(text + configuration.read_text(), encoding="utf-8")
    cluster.start()
    topic = admin_pb2.TopicSettings(retention_ms=RETENTION_MS)
    with grpc.insecure_channel(node.client_address) as channel:
        request = admin_pb2.CreateTopicRequest(name=TOPIC, queue_count=1, settings=topic)
        admin_pb2_grpc.AdminStub(channel).CreateTopic(request, timeout=CALL_S)
    body = "x" * (1 << 20)
    for _ in range(2):
        stored = 0
        while not (reason := publish(node, body)):
            stored += 1
            assert stored < 1_000, "the disk does not fill"
        assert reason == "DISK_FULL"
        assert stored > 20
        assert room(disk) < ROOM_BYTES // 3
        browse(node)
        wait_for("room", lambda: publish(node, "one more") == "", timeout_s=240)
        wait_for("most of the room", lambda: room(disk) > ROOM_BYTES * 2 // 3)
    assert node.is_running
    node.kill()
    cluster.start()
    assert publish(node, "after all") == ""
    assert node.stop() == 0
