"""Real nodes as processes of one's own: started, killed, started again on the same ports."""

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import psutil

from tallymq.proto import admin_pb2, admin_pb2_grpc, messaging_pb2, messaging_pb2_grpc
from tests.support.ports import free_port
from tests.support.waiting import wait_for

READY_S = 60.0
STOP_S = 60.0
CALL_S = 15.0


@dataclass
class Node:
    """One `tallymqd`. Its folder holds the configuration, the data and what it said."""

    name: str
    folder: Path
    client_port: int = field(default_factory=free_port)
    peer_port: int = field(default_factory=free_port)
    metrics_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    data: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    host: str = "127.0.0.1"
    wrapper: Sequence[str] = ()
    """What its program is started by, for example in another network namespace; it must become the program."""

    @property
    def client_address(self) -> str:
        """Where clients reach it."""
        return f"{self.host}:{self.client_port}"

    @property
    def peer_address(self) -> str:
        """Where its peers reach it."""
        return f"{self.host}:{self.peer_port}"

    @property
    def log(self) -> Path:
        """What it said, over all its lives."""
        return self.folder / "log.txt"

    @property
    def is_running(self) -> bool:
        """True until it ends."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Starts it with its configuration; does not wait."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TALLYMQ_")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.wrapper, sys.executable, "-m", "tallymq.service", "--config", str(self.folder / "node.toml")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**environment, **self.environment},
            )

    def is_ready(self) -> bool:
        """True if it says that it is healthy. Raises RuntimeError where it has ended."""
        if not self.is_running:
            raise RuntimeError(f"{self.name} ended by itself; it said:\n{self.tail()}")
        try:
            with urllib.request.urlopen(f"http://{self.host}:{self.metrics_port}/health", timeout=5) as reply:
                return bool(reply.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def wait_ready(self, timeout_s: float = READY_S) -> None:
        """Waits until it says so."""
        wait_for(f"{self.name} ready", self.is_ready, timeout_s)

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(STOP_S)

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_S)

    def rss_bytes(self) -> int:
        """The memory it uses now."""
        assert self.process is not None
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def tail(self, lines: int = 20) -> str:
        """The last that it said."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


class Cluster:
    """Nodes of one cluster on loopback, with mutual TLS between them."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes

    @classmethod
    def create(
        cls,
        folder: Path,
        node_count: int = 3,
        settings: Mapping[str, object] | None = None,
        tls: bool = True,
        hosts: Sequence[str] = (),
    ) -> "Cluster":
        """Makes folders, certificates and configurations; starts nothing. `hosts`: an address for each node."""
        names = [f"node-{number}" for number in range(1, node_count + 1)]
        addresses = hosts or ["127.0.0.1"] * node_count
        nodes = [Node(name, folder / name, host=host) for name, host in zip(names, addresses, strict=True)]
        for node in nodes:
            node.folder.mkdir(parents=True)
            node.data = node.folder / "data"
        if tls and node_count > 1:
            command = [sys.executable, "-m", "tallymq.cli", "certs", "--out", str(folder / "certs"), *names]
            subprocess.run(command, check=True, capture_output=True, timeout=120, stdin=subprocess.DEVNULL)
        for node in nodes:
            text = configuration(node, nodes, settings or {}, folder / "certs" if tls else None)
            (node.folder / "node.toml").write_text(text, encoding="utf-8")
        return cls(nodes)

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            if node.is_running:
                node.kill()

    @property
    def addresses(self) -> str:
        """Where clients reach the nodes, joined by commas."""
        return ",".join(node.client_address for node in self.nodes)

    @property
    def url(self) -> str:
        """What a client is told."""
        return f"tally://{self.addresses}"

    def start(self) -> None:
        """Starts all nodes and waits until each shard has a leader."""
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.wait_ready()
        self.wait_leaders()

    def processes(self) -> list[psutil.Process]:
        """The processes of the nodes that run."""
        return [psutil.Process(node.process.pid) for node in self.nodes if node.process and node.is_running]

    def leaders(self) -> dict[int, str]:
        """The leader of each shard ("" where there is none), as the first node says that answers."""
        for node in self.nodes:
            if node.is_running:
                try:
                    with grpc.insecure_channel(node.client_address) as channel:
                        stub = messaging_pb2_grpc.MessagingStub(channel)
                        reply = stub.Route(messaging_pb2.RouteRequest(), timeout=CALL_S)
                    return {shard.shard: shard.leader for shard in reply.shards}
                except grpc.RpcError:
                    continue
        return {}

    def wait_leaders(self, timeout_s: float = READY_S) -> dict[int, str]:
        """Waits until each shard has a leader that runs."""
        running = {node.name for node in self.nodes if node.is_running}

        def look() -> dict[int, str] | None:
            leaders = self.leaders()
            return leaders if leaders and set(leaders.values()) <= running else None

        return wait_for("a leader for each shard", look, timeout_s)

    def node(self, name: str) -> Node:
        """The node of this name."""
        return next(node for node in self.nodes if node.name == name)

    def create_topic(self, topic: str, queue_count: int = 4) -> admin_pb2.Topic:
        """Makes a topic, or finds it made; asks each node until one can."""
        request = admin_pb2.CreateTopicRequest(name=topic, queue_count=queue_count)

        def look() -> admin_pb2.Topic | None:
            for node in self.nodes:
                if node.is_running:
                    try:
                        with grpc.insecure_channel(node.client_address) as channel:
                            stub = admin_pb2_grpc.AdminStub(channel)
                            return stub.CreateTopic(request, timeout=CALL_S).topic
                    except grpc.RpcError as error:
                        if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                            raise
            return None

        return wait_for(f"topic {topic}", look)

    def put_groups(self, groups: Iterable[str]) -> None:
        """Makes consumer groups that never give a message up, and try again soon."""
        settings = admin_pb2.GroupSettings(attempts_max=1_000, backoff_ms_min=200, backoff_ms_max=2_000)
        for name in groups:
            request = admin_pb2.PutGroupRequest(name=name, settings=settings)
            wait_for(f"group {name}", lambda request=request: self._put_group(request))

    def _put_group(self, request: admin_pb2.PutGroupRequest) -> bool:
        for node in self.nodes:
            try:
                with grpc.insecure_channel(node.client_address) as channel:
                    admin_pb2_grpc.AdminStub(channel).PutGroup(request, timeout=CALL_S)
                return True
            except grpc.RpcError:
                continue
        return False


def configuration(node: Node, nodes: list[Node], settings: Mapping[str, object], certificates: Path | None) -> str:
    """The text of a node's configuration file."""
    values: dict[str, object] = {
        "node": node.name,
        "cluster": "tests",
        "data": str(node.data),
        "listen": node.client_address,
        "listen_peers": node.peer_address,
        "listen_metrics": f"{node.host}:{node.metrics_port}",
        **settings,
    }
    if certificates is not None and len(nodes) > 1:
        values["peer_certificate"] = str(certificates / f"{node.name}.pem")
        values["peer_key"] = str(certificates / f"{node.name}-key.pem")
        values["peer_ca"] = str(certificates / "ca.pem")
    lines = [f"{name} = {as_toml(value)}" for name, value in values.items()]
    for member in nodes if len(nodes) > 1 else []:
        lines += ["", "[[members]]", f'node = "{member.name}"']
        lines += [f'peer = "{member.peer_address}"', f'client = "{member.client_address}"']
    return "\n".join(lines) + "\n"


def as_toml(value: object) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
