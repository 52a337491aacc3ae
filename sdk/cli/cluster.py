"""`tallymq cluster`: status, health."""

from __future__ import annotations

import time

import click

from tallymq.cli.command import PAGE, Group, Run, every_page, pass_run
from tallymq.cli.exits import Exit
from tallymq.cli.failure import Failure
from tallymq.cli.health import CHECKS, PROBLEM, Finding, Health, examine
from tallymq.cli.printer import Column, Item
from tallymq.cli.survey import ASK_MS_MAX, Survey, survey
from tallymq.cli.values import plain_text, show_duration, time_text
from tallymq.proto import admin_pb2 as admin


def status_item(reply: admin.GetClusterStatusReply) -> Item:
    """Return the state of a cluster as `-o json` prints it."""
    return {
        "cluster": reply.cluster,
        "node": reply.node,
        "version": reply.version,
        "nodes": [
            {
                "node": node.node,
                "client_address": node.client_address or None,
                "peer_address": node.peer_address or None,
                "connected": node.connected,
            }
            for node in reply.nodes
        ],
        "shards": [
            {
                "shard": shard.shard,
                "leader": shard.leader or None,
                "term": shard.term,
                "majority_index": shard.majority_index,
                "applied_index": shard.applied_index,
                "last_index": shard.last_index,
                "in_doubt": shard.in_doubt,
                "health": shard.health,
            }
            for shard in sorted(reply.shards, key=lambda shard: shard.shard)
        ],
    }


STATUS_COLUMNS = (Column("CLUSTER", "cluster"), Column("ANSWERED BY", "node"), Column("VERSION", "version"))
NODE_COLUMNS = (
    Column("NODE", "node"),
    Column("CLIENTS", "client_address"),
    Column("PEERS", "peer_address"),
    Column("CONNECTED", "connected"),
)
SHARD_COLUMNS = (
    Column("SHARD", "shard", right=True),
    Column("LEADER", "leader"),
    Column("TERM", "term", right=True),
    Column("MAJORITY", "majority_index", right=True),
    Column("APPLIED", "applied_index", right=True),
    Column("LAST", "last_index", right=True),
    Column("IN DOUBT", "in_doubt", right=True),
    Column("HEALTH", "health"),
)

cluster = Group("cluster", help="The cluster: its nodes and shards.")


@cluster.command(examples=("tallymq cluster status", "tallymq --server b:7070 cluster status -o json"))
@pass_run
def status(run: Run) -> None:
    """Show nodes and shards, as the node that answers sees its own copy."""
    request = admin.GetClusterStatusRequest()
    reply = run.read(lambda stubs: stubs.admin.GetClusterStatus, request)
    item = status_item(reply)
    if run.printer.for_programs:
        run.printer.one(item, ())
        return
    run.printer.lines(item, STATUS_COLUMNS)
    for key, columns in (("nodes", NODE_COLUMNS), ("shards", SHARD_COLUMNS)):
        rows = item[key]
        run.printer.heading("")
        if isinstance(rows, list):
            run.printer.table(rows, columns)


def health_item(whole: Survey, health: Health, now_ms: int) -> Item:
    """Return the answer to "may I sleep?" as `-o json` prints it."""
    led = sum(whole.leader(number) is not None for number in whole.shard_numbers)
    return {
        "may_sleep": health.may_sleep,
        "cluster": whole.cluster,
        "time": time_text(now_ms),
        "nodes": len(whole.answers),
        "nodes_answering": len(whole.speaking),
        "shards": len(whole.shard_numbers),
        "shards_led": led,
        "spare_nodes": health.spare_nodes,
        "tightest_shards": health.tightest_shards,
        "in_doubt": health.in_doubt,
        "oldest_in_doubt_ms": health.oldest_in_doubt_ms,
        "checks": {check: _worst(check, health.findings) for check in CHECKS},
        "findings": [
            {
                "check": finding.check,
                "severity": finding.severity,
                "subject": finding.subject,
                "message": finding.message,
                "action": finding.action,
            }
            for finding in health.findings
        ],
    }


def _worst(check: str, findings: list[Finding]) -> str:
    found = {finding.severity for finding in findings if finding.check == check}
    return PROBLEM if PROBLEM in found else next(iter(found), "ok")


def count_dead_letters(run: Run, whole: Survey) -> dict[str, int] | None:
    """Return the number of dead letters of each group; None where nobody can say."""
    addresses = tuple(answer.address for answer in whole.speaking)
    way = run.connection_to(addresses, min(run.timeout_ms, ASK_MS_MAX))

    def page(after: str) -> list[admin.Group]:
        request = admin.ListGroupsRequest(after=after, limit=PAGE)
        return list(way.read(lambda stubs: stubs.admin.ListGroups, request).groups)

    def dead_letters(name: str) -> int:
        found = way.read(lambda stubs: stubs.admin.GetGroup, admin.GetGroupRequest(name=name)).group
        return sum(place.dead_letters for place in found.queues)

    try:
        return {group.name: dead_letters(group.name) for group in every_page(page)}
    except Failure:
        return None
    finally:
        way.close()


HEALTH_COLUMNS = (
    Column("MAY I SLEEP", "may_sleep"),
    Column("CLUSTER", "cluster"),
    Column("NODES ANSWERING", "answering"),
    Column("SHARDS LED", "led"),
    Column("NODES THAT MAY BE LOST", "spare_nodes"),
    Column("IN DOUBT", "in_doubt"),
    Column("OLDEST IN DOUBT", "oldest_in_doubt_ms", show_duration),
)


@cluster.command(examples=("tallymq cluster health", "tallymq --server a:7070,b:7070 cluster health -o json"))
@click.pass_context
@pass_run
def health(run: Run, ctx: click.Context) -> None:
    """May I sleep? Ask every node, and say what is wrong and what to do.

    Exits with 0: yes; 1: no, there is a problem; 5: no node could be reached.
    """
    whole = survey(run)
    now_ms = time.time_ns() // 1_000_000
    found = examine(whole, count_dead_letters(run, whole), now_ms)
    item = health_item(whole, found, now_ms)
    if run.printer.for_programs:
        run.printer.one(item, ())
    else:
        answering = f"{item['nodes_answering']} of {item['nodes']}"
        led = f"{item['shards_led']} of {item['shards']}"
        run.printer.lines({**item, "answering": answering, "led": led}, HEALTH_COLUMNS)
        for place, finding in enumerate(found.findings):
            run.printer.heading(
                ("" if place else "\n") + plain_text(f"{finding.severity}: {finding.message} {finding.action}")
            )
    if not found.may_sleep:
        ctx.exit(Exit.FAILURE)
