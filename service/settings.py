"""Every setting of the server, declared once: default, unit, limits, environment variable and meaning."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Setting:
    """One setting. `kind` is text, path, address, integer, flag, choice or members; `low` and `high` limit integers."""

    key: str
    kind: str
    default: str | int | bool
    unit: str
    meaning: str
    low: int = 0
    high: int = 0
    choices: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        """Name of its environment variable."""
        return "TALLYMQ_" + self.key.upper()

    @property
    def allowed(self) -> str:
        """What values are allowed, for a person."""
        if self.kind == "integer":
            return f"{self.low:,} to {self.high:,}"
        if self.kind == "flag":
            return "true or false"
        if self.kind == "choice":
            return ", ".join(self.choices)
        return {
            "text": "1 to 63 letters, digits, '.', '_' or '-'",
            "path": "a path",
            "address": "HOST:PORT",
            "members": "[[members]] tables, each with node, peer and client; or NODE=PEER/CLIENT,... as a variable",
        }[self.kind]


def _integer(key: str, default: int, unit: str, low: int, high: int, meaning: str) -> Setting:
    return Setting(key, "integer", default, unit, meaning, low, high)


SETTINGS: tuple[Setting, ...] = (
    Setting("node", "text", "node-1", "", "Name of this node, the same for ever."),
    Setting("cluster", "text", "tallymq", "", "Name of the cluster; nodes of other clusters are refused."),
    Setting("data", "path", "./tallymq-data", "", "Directory for everything this node keeps."),
    Setting("listen", "address", "127.0.0.1:7070", "", "Where clients connect."),
    Setting("listen_peers", "address", "127.0.0.1:7071", "", "Where the other nodes connect; unused by a single node."),
    Setting("listen_metrics", "address", "127.0.0.1:7072", "", "Where /metrics and /health are served."),
    Setting("advertise", "address", "", "", "Where clients reach this node, if not at `listen` (single node)."),
    Setting("members", "members", "", "", "All nodes of the cluster, this one among them; none for a single node."),
    _integer("shards", 4, "shards", 1, 4_096, "Raft groups; fixed when the cluster is made."),
    Setting("insecure", "flag", False, "", "Allow listening beyond loopback without TLS."),
    Setting("server_certificate", "path", "", "PEM", "Certificate of this node for clients."),
    Setting("server_key", "path", "", "PEM", "Its private key."),
    Setting("client_ca", "path", "", "PEM", "Certificate authority of clients' certificates."),
    Setting("client_certificate_required", "flag", False, "", "Refuse clients without a certificate of `client_ca`."),
    Setting("peer_certificate", "path", "", "PEM", "Certificate of this node for peers; its CN is the node's name."),
    Setting("peer_key", "path", "", "PEM", "Its private key."),
    Setting("peer_ca", "path", "", "PEM", "Certificate authority of all nodes."),
    _integer("check_after_ms", 6_000, "ms", 1_000, 86_400_000, "Age at which a half is first asked about."),
    _integer("orphan_after_ms", 3_000, "ms", 0, 3_600_000, "Absence of an instance after which others are asked."),
    _integer("checks_per_session", 64, "checks", 1, 10_000, "Checks one producer has open at once."),
    _integer("sessions_max", 10_000, "streams", 1, 1_000_000, "Producers' sessions on this node."),
    _integer("subscriptions_max", 10_000, "streams", 1, 1_000_000, "Subscriptions, and fetches, on this node."),
    _integer("produce_frames_max", 256, "frames", 1, 65_536, "Frames under way on one produce stream."),
    _integer("produce_bytes_max", 16 << 20, "bytes", 1 << 20, 1 << 30, "Bytes under way on one produce stream."),
    Setting("validate_records", "flag", True, "", "Parse every record on arrival; lengths are checked in any case."),
    _integer("heartbeat_ms", 150, "ms", 10, 10_000, "Pause between a leader's heartbeats."),
    _integer("election_ms_min", 1_000, "ms", 50, 60_000, "Shortest silence before an election."),
    _integer("election_ms_max", 2_000, "ms", 100, 120_000, "Longest silence before an election."),
    _integer("entry_bytes_max", 1 << 20, "bytes", 65_536, 8 << 20, "Frames joined into one Raft entry."),
    _integer("queue_bytes_max", 64 << 20, "bytes", 8 << 20, 4 << 30, "Proposals waiting per shard, then OVERLOADED."),
    _integer("segment_bytes", 256 << 20, "bytes", 1 << 20, 4 << 30, "Size of a log segment."),
    _integer("flush_log_bytes", 256 << 20, "bytes", 1 << 20, 16 << 30, "Log after which the store is flushed."),
    _integer("flush_interval_ms", 30_000, "ms", 100, 3_600_000, "Time after which the store is flushed."),
    _integer("free_bytes_min", 512 << 20, "bytes", 0, 1 << 50, "Free disk space below which writes are refused."),
    _integer("ballast_bytes", 64 << 20, "bytes", 0, 64 << 30, "Reserve for writing what frees a full disk."),
    _integer("retention_interval_ms", 5_000, "ms", 100, 3_600_000, "Pause between looks at what may go."),
    _integer("trim_batches_max", 1_000, "batches", 1, 100_000, "Batches that one trimming of a queue removes."),
    _integer("carry_share_percent", 50, "%", 0, 100, "Needed part of old log files that may be copied to free them."),
    _integer("carry_bytes_per_second", 32 << 20, "bytes/s", 64 << 10, 1 << 40, "Copied so at most."),
    _integer("log_kept_bytes", 1 << 30, "bytes", 0, 1 << 50, "Log kept whole for followers that are behind."),
    _integer("snapshot_bytes_per_second", 64 << 20, "bytes/s", 64 << 10, 16 << 30, "Snapshots sent so at most."),
    _integer("drain_ms_max", 20_000, "ms", 0, 600_000, "Time for calls to finish when the node is told to stop."),
    Setting("log_level", "choice", "info", "", "How much is logged.", choices=("debug", "info", "warning", "error")),
)


@dataclass(frozen=True)
class Address:
    """Where something listens or is reached."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True)
class MemberSetting:
    """One node of the cluster."""

    node: str
    peer: Address
    client: Address


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """All settings, checked. Field names are the keys of the table above."""

    node: str
    cluster: str
    data: Path
    listen: Address
    listen_peers: Address
    listen_metrics: Address
    advertise: Address | None
    members: tuple[MemberSetting, ...]
    shards: int
    insecure: bool
    server_certificate: Path | None
    server_key: Path | None
    client_ca: Path | None
    client_certificate_required: bool
    peer_certificate: Path | None
    peer_key: Path | None
    peer_ca: Path | None
    check_after_ms: int
    orphan_after_ms: int
    checks_per_session: int
    sessions_max: int
    subscriptions_max: int
    produce_frames_max: int
    produce_bytes_max: int
    validate_records: bool
    heartbeat_ms: int
    election_ms_min: int
    election_ms_max: int
    entry_bytes_max: int
    queue_bytes_max: int
    segment_bytes: int
    flush_log_bytes: int
    flush_interval_ms: int
    free_bytes_min: int
    ballast_bytes: int
    retention_interval_ms: int
    trim_batches_max: int
    carry_share_percent: int
    carry_bytes_per_second: int
    log_kept_bytes: int
    snapshot_bytes_per_second: int
    drain_ms_max: int
    log_level: str


assert [each.name for each in fields(ServerSettings)] == [setting.key for setting in SETTINGS]


def configuration_page() -> str:
    """Return docs/configuration.md: every setting, for people."""
    lines = [
        "# Configuration",
        "",
        "`tallymqd` without arguments runs one node with the defaults below. `tallymqd --config node.toml` reads a",
        "TOML file whose keys are the names below; an environment variable goes before the file, and an option of the",
        "command line (`--node`, `--data`, `--listen`, `--listen-peers`, `--listen-metrics`, `--insecure`,",
        "`--set KEY=VALUE`) before both. An unknown key or a bad value is an error naming the line: nothing starts.",
        "",
        "| key | default | unit | allowed | environment | meaning |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for setting in SETTINGS:
        default = str(setting.default).lower() if setting.kind == "flag" else setting.default
        shown = f"`{default}`" if default != "" else "none"
        lines.append(
            f"| `{setting.key}` | {shown} | {setting.unit} | {setting.allowed} | `{setting.variable}` "
            f"| {setting.meaning} |"
        )
    lines += [
        "",
        "Ports: 7070 clients, 7071 peers, 7072 metrics and health, all on loopback unless told otherwise. Listening",
        "beyond loopback without TLS is refused unless `insecure` is set. Where clients need TLS and metrics are",
        "served beyond loopback, metrics use the same certificate.",
        "",
        "A node of a cluster:",
        "",
        "```toml",
        'node = "node-1"',
        'cluster = "bank"',
        'data = "/var/lib/tallymq"',
        'listen = "127.0.0.1:7070"',
        'listen_peers = "127.0.0.1:7071"',
        "",
        "[[members]]",
        'node = "node-1"',
        'peer = "127.0.0.1:7071"',
        'client = "127.0.0.1:7070"',
        "",
        "[[members]]",
        'node = "node-2"',
        'peer = "127.0.0.1:7171"',
        'client = "127.0.0.1:7170"',
        "",
        "[[members]]",
        'node = "node-3"',
        'peer = "127.0.0.1:7271"',
        'client = "127.0.0.1:7270"',
        "```",
        "",
    ]
    return "\n".join(lines)
