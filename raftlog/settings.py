"""What a node is told about itself, its cluster and its limits. Checked once, before anything is opened."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

SHARDS_MAX = 4096
METADATA_SHARD = 0
"""The shard that holds the true list of topics and groups."""
FRAME_BYTES_MAX = 16 * 1024 * 1024
"""Greatest payload of one peer frame."""
PAYLOAD_BYTES_MAX = FRAME_BYTES_MAX - 64 * 1024
"""Greatest payload of one entry: it must fit one peer frame with the header of its message."""
FLUSH_LOG_ENTRIES = 200_000
"""Entries of the log after which the store is flushed, however small they are: a start reads every entry after the last
flush's mark, about 8 us each, and applies what was not flushed. So many of them keep a start under five seconds."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class SettingsRefused(ValueError):
    """A setting is impossible; the text says which and why. Nothing was opened or changed."""


@dataclass(frozen=True, slots=True)
class Member:
    """One voter of the cluster and where its peer port is."""

    node: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files for mutual TLS. The certificate's common name must be the node's name; `ca` signs all nodes."""

    certificate: Path
    key: Path
    ca: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """Everything `Host.start` needs. Times in milliseconds, sizes in bytes.

    `members` empty means one node alone, which opens no port. `queue_bytes_max` bounds, for each shard, the proposals
    waiting or not yet answered; `free_bytes_min` is the free disk space below which proposals are refused;
    `snapshot_bytes_per_second` bounds what this node sends of snapshots, to all nodes together.
    `carry_share_percent` of the oldest files may be needed still and copied to give the files back, at most so many
    bytes a second; the newest `log_kept_bytes` of the log are kept whole for followers that are behind; `ballast_bytes`
    are kept in reserve, and given up on a full disk so that what frees room can still be written.
    """

    node: str
    cluster: str
    data_directory: Path
    shard_count: int = 4
    members: tuple[Member, ...] = ()
    listen_host: str = "127.0.0.1"
    listen_port: int = 7071
    tls: TlsFiles | None = None
    heartbeat_ms: int = 150
    election_ms_min: int = 1_000
    election_ms_max: int = 2_000
    entry_bytes_max: int = 1024 * 1024
    queue_bytes_max: int = 64 * 1024 * 1024
    segment_bytes: int = 64 * 1024 * 1024
    flush_log_bytes: int = 256 * 1024 * 1024
    flush_log_entries: int = FLUSH_LOG_ENTRIES
    flush_interval_ms: int = 30_000
    seal_idle_ms: int = 100
    free_bytes_min: int = 512 * 1024 * 1024
    peer_queue_bytes_max: int = 32 * 1024 * 1024
    peer_ping_ms: int = 1_000
    peer_idle_ms_max: int = 5_000
    peer_hello_ms_max: int = 5_000
    stop_ms_max: int = 20_000
    snapshot_bytes_per_second: int = 64 * 1024 * 1024
    carry_share_percent: int = 50
    carry_bytes_per_second: int = 32 * 1024 * 1024
    log_kept_bytes: int = 1024 * 1024 * 1024
    ballast_bytes: int = 0

    def __post_init__(self) -> None:
        _check_names(self)
        _check_members(self)
        _check_numbers(self)

    @property
    def alone(self) -> bool:
        """Whether this node is its own majority."""
        return len(self.members) <= 1

    @property
    def peers(self) -> tuple[Member, ...]:
        """The other members."""
        return tuple(member for member in self.members if member.node != self.node)

    @property
    def member_names(self) -> tuple[str, ...]:
        """All voters by name, this node among them, in the same order on every node."""
        return tuple(sorted({member.node for member in self.members} | {self.node}))


def _check_names(settings: HostSettings) -> None:
    for what, name in (("node", settings.node), ("cluster", settings.cluster)):
        if not _NAME.fullmatch(name):
            raise SettingsRefused(
                f"{what} name {name!r}: use 1 to 63 letters, digits, '.', '_' or '-', beginning with a letter or digit"
            )


def _check_members(settings: HostSettings) -> None:
    names = [member.node for member in settings.members]
    if len(names) != len(set(names)):
        raise SettingsRefused("a node is listed twice among the members")
    if names and settings.node not in names:
        raise SettingsRefused(f"this node, {settings.node!r}, is not among the members {', '.join(names)}")
    for member in settings.members:
        if not _NAME.fullmatch(member.node):
            raise SettingsRefused(f"member name {member.node!r} is not a node name")
        if not 1 <= member.port <= 65_535 or not member.host:
            raise SettingsRefused(f"member {member.node!r} needs a host and a port between 1 and 65535")


def _check_numbers(settings: HostSettings) -> None:
    limits = (
        ("shard_count", settings.shard_count, 1, SHARDS_MAX),
        ("listen_port", settings.listen_port, 0, 65_535),
        ("heartbeat_ms", settings.heartbeat_ms, 10, 60_000),
        ("election_ms_min", settings.election_ms_min, 2 * settings.heartbeat_ms, 600_000),
        ("election_ms_max", settings.election_ms_max, settings.election_ms_min + 1, 1_200_000),
        ("entry_bytes_max", settings.entry_bytes_max, 4 * 1024, FRAME_BYTES_MAX // 2),
        ("queue_bytes_max", settings.queue_bytes_max, settings.entry_bytes_max, 1 << 40),
        ("segment_bytes", settings.segment_bytes, 1024 * 1024, 1 << 40),
        ("flush_log_bytes", settings.flush_log_bytes, 1, 1 << 50),
        ("flush_log_entries", settings.flush_log_entries, 1, 1 << 50),
        ("flush_interval_ms", settings.flush_interval_ms, 10, 86_400_000),
        ("seal_idle_ms", settings.seal_idle_ms, 1, 60_000),
        ("free_bytes_min", settings.free_bytes_min, 0, 1 << 50),
        ("peer_queue_bytes_max", settings.peer_queue_bytes_max, FRAME_BYTES_MAX, 1 << 40),
        ("peer_ping_ms", settings.peer_ping_ms, 10, 600_000),
        ("peer_idle_ms_max", settings.peer_idle_ms_max, 2 * settings.peer_ping_ms, 6_000_000),
        ("peer_hello_ms_max", settings.peer_hello_ms_max, 10, 600_000),
        ("carry_share_percent", settings.carry_share_percent, 0, 100),
        ("carry_bytes_per_second", settings.carry_bytes_per_second, 64 * 1024, 1 << 40),
        ("log_kept_bytes", settings.log_kept_bytes, 0, 1 << 50),
        ("ballast_bytes", settings.ballast_bytes, 0, 1 << 40),
        ("stop_ms_max", settings.stop_ms_max, 100, 600_000),
        ("snapshot_bytes_per_second", settings.snapshot_bytes_per_second, 1024, 1 << 40),
    )
    for name, value, low, high in limits:
        if not low <= value <= high:
            raise SettingsRefused(f"{name} is {value}, it must lie between {low} and {high}")
