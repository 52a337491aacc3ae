"""The program itself, as a process: ready, signals, exit codes, and one clear sentence when it cannot start."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tallymq.proto import admin_pb2, admin_pb2_grpc, messaging_pb2, messaging_pb2_grpc
from tests.service.running import SECONDS, batch, bodies
from tests.support.ports import free_port, free_ports

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("TALLYMQ_")}


class Program:
    """A running `tallymqd`."""

    def __init__(self, folder: Path, *arguments: str, errors: IO[str] | int = subprocess.PIPE) -> None:
        self.metrics_port = free_port()
        command = [sys.executable, "-m", "tallymq.service", "--data", str(folder / "data")]
        command += ["--listen", "127.0.0.1:0", "--listen-metrics", f"127.0.0.1:{self.metrics_port}"]
        command += ["--set", "free_bytes_min=0", *arguments]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=ENVIRONMENT, cwd=folder
        )
        self.line = self.process.stdout.readline()
        found = re.search(r"is ready on (\S+)\. Type next: tallymq", self.line)
        assert found, self.line + (self.process.stderr.read() if self.process.stderr else "")
        self.address = found[1]

    def page(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}{path}", timeout=SECONDS) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


@contextmanager
def program(folder: Path, *arguments: str) -> Iterator[Program]:
    running = Program(folder, *arguments)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()
        running.process.stdout.close()
        running.process.stderr.close()


def refused(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program that cannot start."""
    command = [sys.executable, "-m", "tallymq.service", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=ENVIRONMENT, cwd=folder, timeout=SECONDS, check=False
    )


def assert_one_sentence(ended: subprocess.CompletedProcess[str], code: int, what: str) -> None:
    sentences = [line for line in ended.stderr.splitlines() if line.startswith("tallymqd: ")]
    assert ended.returncode == code, ended.stderr
    assert len(sentences) == 1, ended.stderr
    assert what in sentences[0]
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


def test_what_was_stored_is_there_after_a_drain_and_after_a_kill(tmp_path: Path) -> None:
    with program(tmp_path) as first, grpc.insecure_channel(first.address) as channel:
        admin_pb2_grpc.AdminStub(channel).CreateTopic(
            admin_pb2.CreateTopicRequest(name="transfers", queue_count=1), timeout=SECONDS
        )
        stub = messaging_pb2_grpc.MessagingStub(channel)
        stub.Publish(messaging_pb2.PublishRequest(batches=[batch("transfers", bodies("a"), 0, 1)]), timeout=SECONDS)
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(SECONDS) == 0
    with program(tmp_path) as second, grpc.insecure_channel(second.address) as channel:
        stub = messaging_pb2_grpc.MessagingStub(channel)
        stub.Publish(messaging_pb2.PublishRequest(batches=[batch("transfers", bodies("b"), 0, 1)]), timeout=SECONDS)
        second.process.kill()
        second.process.wait(SECONDS)
    with program(tmp_path) as third, grpc.insecure_channel(third.address) as channel:
        browse = admin_pb2.BrowseRequest(topic="transfers")
        reply = admin_pb2_grpc.AdminStub(channel).Browse(browse, timeout=SECONDS)
        assert [record.body for d in reply.deliveries for record in d.records.records] == [b"a", b"b"]


def test_health_metrics_and_reflection_are_there(tmp_path: Path) -> None:
    with program(tmp_path) as running, grpc.insecure_channel(running.address) as channel:
        status, text = running.page("/health")
        assert (status, text.splitlines()[0]) == (200, "ok")
        assert json.loads(text.splitlines()[1])["node"] == "node-1"
        status, text = running.page("/metrics")
        assert status == 200
        assert 'tallymq_transactions_in_doubt{shard="0"} 0.0' in text
        assert running.page("/elsewhere")[0] == 404
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "tallymq.v1.Messaging", "tallymq.v1.Admin"):
            reply = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=SECONDS)
            assert reply.status == health_pb2.HealthCheckResponse.SERVING
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        service = pool.FindServiceByName("tallymq.v1.Messaging")
        batch_type = service.methods_by_name["Publish"].input_type.fields_by_name["batches"].message_type
        assert batch_type.fields_by_name["records"].message_type.full_name == "tallymq.v1.RecordBatch"
        with pytest.raises(KeyError):
            pool.FindMessageTypeByName("tallymq.frames.v1.Batch")


def test_sigterm_lets_a_waiting_call_end_and_streams_are_closed_by_name(tmp_path: Path) -> None:
    with program(tmp_path) as running, grpc.insecure_channel(running.address) as channel:
        admin_pb2_grpc.AdminStub(channel).CreateTopic(admin_pb2.CreateTopicRequest(name="transfers"), timeout=SECONDS)
        stub = messaging_pb2_grpc.MessagingStub(channel)
        hello = messaging_pb2.SessionHello(producer_group="g", instance=1)
        session = stub.Session(iter_then_wait(messaging_pb2.SessionRequest(hello=hello), running))
        assert next(session).HasField("welcome")
        waiting = stub.Fetch.future(
            messaging_pb2.FetchRequest(consumer_group="g", topic="transfers", consumer=1, wait_ms=60_000)
        )
        start_at_rest = messaging_pb2.FetchRequest(consumer_group="g", topic="transfers", consumer=1)
        stub.Fetch(start_at_rest, timeout=SECONDS)
        running.process.send_signal(signal.SIGTERM)
        assert waiting.result(SECONDS).deliveries == []
        with pytest.raises(grpc.RpcError) as caught:
            next(session)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert running.process.wait(SECONDS) == 0


def test_sigterm_ends_a_waiting_browse_with_what_there_is(tmp_path: Path) -> None:
    with (
        program(tmp_path, "--set", "drain_ms_max=600000") as running,
        grpc.insecure_channel(running.address) as channel,
    ):
        admin = admin_pb2_grpc.AdminStub(channel)
        admin.CreateTopic(admin_pb2.CreateTopicRequest(name="transfers", queue_count=1), timeout=SECONDS)
        begun = time.monotonic()
        waiting = admin.Browse.future(admin_pb2.BrowseRequest(topic="transfers", wait_ms=60_000))
        # Calls of one connection are taken in order: once this is answered, the other one is waiting.
        admin.GetClusterStatus(admin_pb2.GetClusterStatusRequest(), timeout=SECONDS)
        running.process.send_signal(signal.SIGTERM)
        reply = waiting.result(SECONDS)
        assert (reply.deliveries, reply.next_offset) == ([], 0)
        assert running.process.wait(SECONDS) == 0
        assert time.monotonic() - begun < 60, "it waited for the end of the long poll, not for the signal"


def iter_then_wait(first: messaging_pb2.SessionRequest, running: Program) -> Iterator[messaging_pb2.SessionRequest]:
    """Say one thing, then keep the stream open as long as the program runs."""
    yield first
    running.process.wait()


def test_without_an_argument_it_is_ready_soon_and_says_what_to_type_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Promised are 3 s; a machine that does much else is allowed ten times as much. The figure measured is printed."""
    # Other programs may have the default ports; where they are is said by the environment, not by an argument.
    ports = free_ports(2)
    environment = ENVIRONMENT | {
        "TALLYMQ_LISTEN": f"127.0.0.1:{ports[0]}",
        "TALLYMQ_LISTEN_METRICS": f"127.0.0.1:{ports[1]}",
    }
    command = [str(Path(sys.executable).with_name("tallymqd"))]
    begun = time.monotonic()
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment, cwd=tmp_path
    )
    try:
        line = running.stdout.readline()
        ready_s = time.monotonic() - begun
        assert line.endswith(f"Type next: tallymq --server 127.0.0.1:{ports[0]} topic create hello\n")
        assert (tmp_path / "tallymq-data").is_dir()
        with capsys.disabled():
            print(f"\nready after {ready_s:.2f} s")
        assert ready_s < 30
        running.send_signal(signal.SIGTERM)
        assert running.wait(SECONDS) == 0
    finally:
        running.kill()
        running.wait()
        running.stdout.close()


SLOW_DRAIN = """
import asyncio, sys
from tallymq.service import __main__ as program
from tallymq.service.node import Node
async def never_done(self, grace_s=None):
    print("draining", flush=True)
    await asyncio.Event().wait()
Node.stop = never_done
sys.exit(program.main(sys.argv[1:]))
"""


def test_a_second_signal_exits_at_once(tmp_path: Path) -> None:
    arguments = ["--listen", "127.0.0.1:0", "--listen-metrics", "127.0.0.1:0", "--set", "free_bytes_min=0"]
    running = subprocess.Popen(
        [sys.executable, "-c", SLOW_DRAIN, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=ENVIRONMENT,
        cwd=tmp_path,
    )
    try:
        assert "is ready" in running.stdout.readline()
        running.send_signal(signal.SIGINT)
        assert running.stdout.readline() == "draining\n"
        assert running.poll() is None
        running.send_signal(signal.SIGINT)
        assert running.wait(SECONDS) == 128 + signal.SIGINT
    finally:
        running.kill()
        running.wait()
        running.stdout.close()


def test_a_watcher_of_the_health_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with (
        program(tmp_path, "--set", "drain_ms_max=600000") as running,
        grpc.insecure_channel(running.address) as channel,
    ):
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        running.process.send_signal(signal.SIGTERM)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert running.process.wait(SECONDS) == 0


def test_a_port_in_use_is_one_clear_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for option in ("--listen", "--listen-metrics"):
            other = "--listen-metrics" if option == "--listen" else "--listen"
            ended = refused(tmp_path, option, f"127.0.0.1:{port}", other, "127.0.0.1:0")
            assert_one_sentence(ended, 1, f"cannot listen on 127.0.0.1:{port}")
    assert not (tmp_path / "tallymq-data").exists()


def test_a_data_directory_in_use_or_of_another_node_is_one_clear_sentence(tmp_path: Path) -> None:
    free = ("--listen", "127.0.0.1:0", "--listen-metrics", "127.0.0.1:0", "--set", "free_bytes_min=0")
    with program(tmp_path) as running:
        ended = refused(tmp_path, "--data", str(tmp_path / "data"), *free)
        assert_one_sentence(ended, 1, "in use")
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(SECONDS) == 0
    ended = refused(tmp_path, "--data", str(tmp_path / "data"), "--node", "node-2", *free)
    assert_one_sentence(ended, 1, "belongs to node 'node-1'")


def test_a_full_disk_at_start_is_one_clear_sentence(tmp_path: Path) -> None:
    ended = refused(
        tmp_path, "--listen", "127.0.0.1:0", "--listen-metrics", "127.0.0.1:0", "--set", f"free_bytes_min={1 << 50}"
    )
    assert_one_sentence(ended, 1, "free")


def test_wrong_settings_are_one_clear_sentence_and_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text('node = "a"\nshardz = 3\n', encoding="utf-8")
    assert_one_sentence(refused(tmp_path, "--config", "node.toml"), 2, "node.toml, line 2: unknown key 'shardz'")
    assert_one_sentence(refused(tmp_path, "--listen", "0.0.0.0:7070"), 2, "beyond loopback, without TLS")
    assert_one_sentence(refused(tmp_path, "--set", "nonsense"), 2, "--set KEY=VALUE")
    assert not (tmp_path / "tallymq-data").exists()


def test_logs_are_json_lines_without_bodies(tmp_path: Path) -> None:
    with program(tmp_path, "--set", "log_level=debug") as running, grpc.insecure_channel(running.address) as channel:
        admin_pb2_grpc.AdminStub(channel).CreateTopic(
            admin_pb2.CreateTopicRequest(name="transfers", queue_count=1), timeout=SECONDS
        )
        made = batch("transfers", bodies("a-secret-body"), 0, 1)
        messaging_pb2_grpc.MessagingStub(channel).Publish(messaging_pb2.PublishRequest(batches=[made]), timeout=SECONDS)
        running.process.send_signal(signal.SIGTERM)
        _, errors = running.process.communicate(timeout=SECONDS)
    lines = [json.loads(line) for line in errors.splitlines() if line.startswith("{")]
    assert {"ready", "stopped"} <= {line["event"] for line in lines}
    assert "a-secret-body" not in errors
