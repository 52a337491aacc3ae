"""Asking every node of the cluster at once, each for a bounded time, and joining what they say.

A node speaks with certainty of itself alone. So all are asked: those of --server, and those that the answers name. Who
gives no answer is part of the result, with the reason, so that a node nobody reaches is seen.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tallymq.cli.command import PAGE, Run
from tallymq.cli.connection import Connection
from tallymq.cli.exits import Exit
from tallymq.cli.failure import Failure, refused_here
from tallymq.proto import admin_pb2 as admin

ASK_MS_MAX = 5_000
"""How long a node has for all that it is asked; `--timeout` may make it less."""
ASKED_AT_ONCE_MAX = 64


@dataclass
class Answer:
    """What one node said of itself, or why it said nothing (`silent`).

    `clock_ahead_ms` is how far its clock is ahead of this machine's, give or take `clock_error_ms`.
    """

    node: str
    address: str
    silent: str = ""
    cluster: str = ""
    report: admin.NodeReport = field(default_factory=admin.NodeReport)
    nodes: Sequence[admin.NodeStatus] = ()
    shards: Sequence[admin.ShardReport] = ()
    clock_ahead_ms: float = 0
    clock_error_ms: float = 0

    def shard(self, number: int) -> admin.ShardReport | None:
        """Return its copy of a shard."""
        return next((each for each in self.shards if each.status.shard == number), None)


@dataclass
class Survey:
    """All nodes of a cluster by name, those that say nothing too, and `strangers`: of other clusters, or nobody's.

    `addresses`: where clients and peers reach each node, as the nodes that answer say.
    """

    cluster: str
    answers: list[Answer]
    strangers: list[Answer]
    addresses: dict[str, admin.NodeStatus]

    @property
    def speaking(self) -> list[Answer]:
        """Those that answered."""
        return [answer for answer in self.answers if not answer.silent]

    @property
    def shard_numbers(self) -> list[int]:
        """All shards that anyone has a copy of."""
        return sorted({each.status.shard for answer in self.speaking for each in answer.shards})

    def copies(self, number: int) -> list[tuple[Answer, admin.ShardReport]]:
        """Return who answered with a copy of a shard, and the copy."""
        found = [(answer, answer.shard(number)) for answer in self.speaking]
        return [(answer, copy) for answer, copy in found if copy is not None]

    def leader(self, number: int) -> tuple[Answer, admin.ShardReport] | None:
        """Return who leads a shard by its own word: of several, the one of the latest term."""
        leading = [(answer, copy) for answer, copy in self.copies(number) if copy.leads]
        return max(leading, key=lambda pair: pair[1].status.term, default=None)


def survey(run: Run) -> Survey:
    """Ask all nodes. Raises Failure UNAVAILABLE where none answers."""
    timeout_ms = min(run.timeout_ms, ASK_MS_MAX)
    by_address: dict[str, Answer] = {}
    waiting = list(run.servers)
    while waiting:
        ways = {address: run.connection_to((address,), timeout_ms) for address in waiting}
        with ThreadPoolExecutor(min(len(waiting), ASKED_AT_ONCE_MAX)) as pool:
            by_address.update(zip(ways, pool.map(_ask, ways, ways.values()), strict=True))
        heard = [status for answer in by_address.values() for status in answer.nodes]
        known = {answer.node for answer in by_address.values()}
        waiting = sorted(
            {status.client_address for status in heard if status.client_address and status.node not in known}
            - by_address.keys()
        )
    if all(answer.silent for answer in by_address.values()):
        raise _nobody(by_address.values())
    return _joined(by_address)


def _ask(address: str, way: Connection) -> Answer:
    try:
        before_s = time.time()
        itself = way.read(lambda stubs: stubs.admin.GetNode, admin.GetNodeRequest())
        after_s = time.time()
        nodes = way.read(lambda stubs: stubs.admin.ListNodes, admin.ListNodesRequest()).nodes
        return Answer(
            node=itself.node.node,
            address=address,
            cluster=itself.cluster,
            report=itself.report,
            nodes=nodes,
            shards=_shards(way),
            clock_ahead_ms=itself.report.time_ms - (before_s + after_s) * 500,
            clock_error_ms=(after_s - before_s) * 500,
        )
    except Failure as failure:
        return Answer(node="", address=address, silent=failure.message.rstrip("."))
    finally:
        way.close()


def _shards(way: Connection) -> list[admin.ShardReport]:
    found: list[admin.ShardReport] = []
    while True:
        first = found[-1].status.shard + 1 if found else 0
        request = admin.ListShardsRequest(first_shard=first, limit=PAGE)
        page = way.read(lambda stubs: stubs.admin.ListShards, request).shards
        found.extend(page)
        if len(page) < PAGE:
            return found


def _joined(by_address: dict[str, Answer]) -> Survey:
    """Put the answers, in the order in which they were asked for, under the names of the nodes."""
    speaking = [answer for answer in by_address.values() if not answer.silent]
    cluster = speaking[0].cluster
    named: dict[str, Answer] = {}
    strangers: list[Answer] = []
    for answer in speaking:
        if answer.cluster != cluster:
            strangers.append(answer)
        else:
            named.setdefault(answer.node, answer)
    addresses = {status.node: status for answer in named.values() for status in answer.nodes}
    for name, status in addresses.items():
        if name not in named:
            named[name] = _missing(name, status.client_address, by_address.get(status.client_address))
    found = {answer.address for answer in named.values()}
    strangers += [answer for answer in by_address.values() if answer.silent and answer.address not in found]
    return Survey(cluster, [named[name] for name in sorted(named)], strangers, addresses)


def _missing(name: str, address: str, there: Answer | None) -> Answer:
    if not address:
        return Answer(name, "", silent="nobody says where clients reach it")
    if there is None or there.silent:
        return Answer(name, address, silent=there.silent if there else "it was not asked")
    return Answer(name, address, silent=f"{there.node} of cluster {there.cluster} answers there")


def _nobody(answers: Iterable[Answer]) -> Failure:
    return Failure(
        exit=Exit.UNAVAILABLE,
        message=f"No node answers: {'; '.join(answer.silent for answer in answers)}.",
        name="UNAVAILABLE",
        hint="Is a node running there? Compare --server and the TLS options (--tls-ca).",
        retryable=True,
    )


def one_node(run: Run, name: str) -> tuple[Survey, Answer]:
    """Return the node of this name. Raises Failure where the cluster has none."""
    whole = survey(run)
    for answer in whole.answers:
        if answer.node == name:
            return whole, answer
    raise refused_here("UNKNOWN_NODE", f"The cluster has no node {name!r}.")
