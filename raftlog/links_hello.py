"""The first frame in each direction: who speaks, of which cluster, by which version. Nothing is trusted before it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from tallymq.proto.hello_pb2 import Hello

FORMAT_VERSION = 1
"""Version of the frames between nodes."""
HELLO_BYTES_MAX = 4096


class HelloRefused(Exception):
    """The other end is not whom this node may talk to; the text is for the log, never for the other end."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What this node says of itself, and whom it accepts."""

    cluster: str
    node: str
    shard_count: int
    software_version: str
    peers: Collection[str]

    def hello(self, to_node: str) -> bytes:
        """The payload of this node's hello to that one."""
        return Hello(
            format_version=FORMAT_VERSION,
            cluster=self.cluster,
            node=self.node,
            shard_count=self.shard_count,
            software_version=self.software_version,
            to_node=to_node,
        ).SerializeToString()

    def check(self, payload: bytes, certified_name: str | None, expected: str | None) -> str:
        """Return the name of the node that sent this hello.

        `certified_name` is the common name of its verified certificate, None only where TLS is off; `expected` is whom
        this node dialled. Raises HelloRefused.
        """
        try:
            hello = Hello.FromString(payload)
        except DecodeError:
            raise HelloRefused("its hello is not one") from None
        if hello.format_version != FORMAT_VERSION:
            raise HelloRefused(f"it speaks version {hello.format_version}, this node {FORMAT_VERSION}")
        if hello.cluster != self.cluster:
            raise HelloRefused(f"it is of cluster {hello.cluster!r}, this node of {self.cluster!r}")
        if hello.shard_count != self.shard_count:
            raise HelloRefused(f"it has {hello.shard_count} shards, this node {self.shard_count}")
        if hello.node not in self.peers:
            raise HelloRefused(f"it calls itself {hello.node!r}, which is no other member")
        if hello.to_node != self.node:
            raise HelloRefused(f"it looks for {hello.to_node!r}, this node is {self.node!r}")
        if certified_name is not None and hello.node != certified_name:
            raise HelloRefused(f"it calls itself {hello.node!r}, its certificate says {certified_name!r}")
        if expected is not None and hello.node != expected:
            raise HelloRefused(f"{hello.node!r} answered where {expected!r} was dialled")
        return hello.node
