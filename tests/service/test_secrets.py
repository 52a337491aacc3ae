"""What must stay secret is in no line a node writes, be it JSON or for a terminal, when all is well or not."""

from __future__ import annotations

import os
import pty
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from tallymq.proto import admin_pb2, admin_pb2_grpc, messaging_pb2, messaging_pb2_grpc
from tests.service.running import SECONDS, batch
from tests.service.test_program import ENVIRONMENT, Program, refused
from tests.support.certificates import Authority
from tests.support.waiting import wait_for

M = messaging_pb2
CANARIES = {
    name: f"canary-{name}-7f3a"
    for name in ("body", "key", "tag", "search", "header", "value", "environment", "url", "reason", "client", "garbage")
}
RECORD = M.Record(
    body=CANARIES["body"].encode() * 3,
    key=CANARIES["key"].encode(),
    tag=CANARIES["tag"],
    keys=[CANARIES["search"]],
    headers=[M.Header(name=CANARIES["header"], value=CANARIES["value"].encode())],
)
SECRET_ENVIRONMENT = {
    "DATABASE_URL": f"postgresql://bank:{CANARIES['url']}@127.0.0.1/bank",
    "TALLYMQ_URL": f"tally://{CANARIES['url']}",
    "AWS_SECRET_ACCESS_KEY": CANARIES["environment"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    Authority(folder).issue("node-1")
    return folder


def options(folder: Path) -> list[str]:
    files = {
        "server_certificate": "node-1.pem",
        "server_key": "node-1-key.pem",
        "peer_certificate": "node-1.pem",
        "peer_key": "node-1-key.pem",
        "peer_ca": "ca.pem",
    }
    given = {key: str(folder / name) for key, name in files.items()} | {"log_level": "debug"}
    return [part for key, value in given.items() for part in ("--set", f"{key}={value}")]


class Output:
    """Everything a node says, read as it comes; on a terminal or through a pipe."""

    def __init__(self, *, terminal: bool) -> None:
        self.text = ""
        self._reading, self.writing = pty.openpty() if terminal else os.pipe()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._reading, 65_536)
            except OSError:
                return
            if not data:
                return
            self.text += data.decode("utf-8", "replace")

    def close(self) -> None:
        """Return once everything was read: the node has ended, and this is the last holder of the other side."""
        os.close(self.writing)
        self._thread.join(SECONDS)
        os.close(self._reading)


@contextmanager
def node(
    folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch, *, terminal: bool
) -> Iterator[tuple[Program, Output]]:
    for name, value in SECRET_ENVIRONMENT.items():
        monkeypatch.setitem(ENVIRONMENT, name, value)
    output = Output(terminal=terminal)
    running = None
    try:
        running = Program(data, *options(folder), errors=output.writing)
        yield running, output
    finally:
        if running is not None:
            running.process.kill()
            running.process.wait()
            running.process.stdout.close()
        output.close()


def channel_to(folder: Path, running: Program) -> grpc.Channel:
    return grpc.secure_channel(running.address, grpc.ssl_channel_credentials((folder / "ca.pem").read_bytes()))


def drive(channel: grpc.Channel) -> None:
    """Publish, prepare, be checked, decide, consume; then be refused in many ways."""
    messaging, admin = messaging_pb2_grpc.MessagingStub(channel), admin_pb2_grpc.AdminStub(channel)
    admin.CreateTopic(admin_pb2.CreateTopicRequest(name="transfers", queue_count=1), timeout=SECONDS)
    made = batch("transfers", [RECORD], 0, 1)
    messaging.Publish(M.PublishRequest(batches=[made]), timeout=SECONDS)
    hello = M.SessionHello(producer_group="bank-a", instance=7, wants_records=True, client=CANARIES["client"])
    answered = threading.Event()
    answers: list[M.SessionRequest] = []

    def said() -> Iterator[M.SessionRequest]:
        yield M.SessionRequest(hello=hello)
        answered.wait(SECONDS)
        yield from answers

    session = messaging.Session(said())
    assert next(session).HasField("welcome")
    identity = M.FrameIdentity(instance=7, sequence=1)
    prepare = M.PrepareRequest(identity=identity, producer_group="bank-a", batches=[made], check_after_ms=1_000)
    messaging.Prepare(prepare, timeout=SECONDS)
    check = next(session).check
    assert check.records.records[0] == RECORD
    answers.append(M.SessionRequest(answer=M.CheckAnswer(check=check.check, commit_bits=b"\x01")))
    answered.set()
    fetch = M.FetchRequest(consumer_group="bank-b", topic="transfers", consumer=1, records_max=1, wait_ms=10_000)
    for dead_letter in (False, True):
        delivery = messaging.Fetch(fetch, timeout=SECONDS).deliveries[0]
        leased = M.LeasedRange(
            topic="transfers", lease=delivery.lease, first_offset=delivery.first_offset, count=delivery.count
        )
        nack = M.NegativeAcknowledgeRequest(
            consumer_group="bank-b", ranges=[leased], reason=CANARIES["reason"], dead_letter=dead_letter
        )
        messaging.NegativeAcknowledge(nack, timeout=SECONDS)
    be_refused(channel, made)


def be_refused(channel: grpc.Channel, made: M.Batch) -> None:
    garbage = CANARIES["garbage"].encode()
    wrong = M.Batch(header=made.header, records=made.records)
    wrong.header.record_lengths[0] += 1
    again = M.PublishRequest(identity=M.FrameIdentity(instance=7, sequence=1), batches=[made])
    frames = [
        M.PublishRequest(batches=[wrong]),
        M.PublishRequest(batches=[made, made]),
        again,
        M.PublishRequest(batches=[batch("transfers", [M.Record(body=bytes(5_000_000))], 0, 1)]),
    ]
    raws = [garbage, *(frame.SerializeToString() for frame in frames)]
    paths = ["/tallymq.v1.Messaging/Publish"] * len(raws)
    raws += [garbage, garbage, garbage]
    paths += ["/tallymq.v1.Admin/Browse", "/grpc.health.v1.Health/Check", "/tallymq.v1.Messaging/Nothing"]
    for path, raw in zip(paths, raws, strict=True):
        with pytest.raises(grpc.RpcError):
            channel.unary_unary(path)(raw, timeout=SECONDS)
    for path in ("Produce", "Session", "Subscribe"):
        call = channel.stream_stream(f"/tallymq.v1.Messaging/{path}")(iter([garbage]), timeout=SECONDS)
        try:
            list(call)
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT  # noqa: PT017 - a produce stream answers instead


def damage(data: Path) -> None:
    """Change one byte of every stored body on the disk, so that reading it fails."""
    found = 0
    for path in (data / "data" / "log").iterdir():
        content = path.read_bytes()
        with path.open("r+b") as file:
            for place in re.finditer(re.escape(RECORD.body), content):
                file.seek(place.start())
                file.write(b"C")
                found += 1
    assert found


def assert_silent(text: str, folder: Path) -> None:
    for name, canary in CANARIES.items():
        assert canary not in text, name
    for path in folder.glob("*.pem"):
        lines = [line for line in path.read_text(encoding="ascii").splitlines() if not line.startswith("-----")]
        assert lines
        for line in lines:
            assert line not in text, path.name
    assert "PRIVATE KEY" not in text


@pytest.mark.parametrize("terminal", [False, True], ids=["JSON", "terminal"])
def test_no_secret_reaches_the_log(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    with (
        node(folder, tmp_path, monkeypatch, terminal=terminal) as (running, output),
        channel_to(folder, running) as channel,
    ):
        drive(channel)
        damage(tmp_path)
        browse = admin_pb2.BrowseRequest(topic="transfers")

        def look() -> bool:
            admin_pb2_grpc.AdminStub(channel).Browse(browse, timeout=SECONDS)
            return "cannot be served" in output.text

        wait_for("an error in the log, with its traceback", look)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(SECONDS) == 0
    assert "Traceback" in output.text, "what an error looks like was not seen"
    assert_silent(output.text + running.line, folder)


def test_on_a_terminal_the_log_is_for_people(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with node(folder, tmp_path, monkeypatch, terminal=True) as (running, output):
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(SECONDS) == 0
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output.text)
    ready = next(line for line in plain.splitlines() if re.search(r"\bready\b", line))
    assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z \[info +\] ready +.*node=node-1", ready), ready
    assert re.search(r"\[info +\] stopped", plain)
    assert "{" not in ready


def test_no_secret_is_in_the_sentence_of_a_node_that_cannot_start(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRET_ENVIRONMENT.items():
        monkeypatch.setitem(ENVIRONMENT, name, value)
    free = ("--listen", "127.0.0.1:0", "--listen-metrics", "127.0.0.1:0", "--set", "free_bytes_min=0")
    not_a_key = tmp_path / "not-a-key.pem"
    not_a_key.write_text((folder / "node-1-key.pem").read_text(encoding="ascii")[40:], encoding="ascii")
    for wrong in ("server_key", "peer_key"):
        ended = refused(tmp_path, *free, *options(folder), "--set", f"{wrong}={not_a_key}")
        assert ended.returncode == 1
        assert "tallymqd: cannot use " in ended.stderr
        assert str(not_a_key) in ended.stderr
        assert_silent(ended.stderr + ended.stdout, folder)
    monkeypatch.setitem(ENVIRONMENT, "TALLYMQ_PASSWORD", CANARIES["environment"])
    ended = refused(tmp_path, *free)
    assert ended.returncode == 2
    assert "TALLYMQ_PASSWORD" in ended.stderr
    assert_silent(ended.stderr, folder)
