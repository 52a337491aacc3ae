"""`tallymq shard`: list, show."""

from __future__ import annotations

import click

from tallymq.cli.command import Group, Run, pass_run
from tallymq.cli.failure import refused_here
from tallymq.cli.printer import Column, Item
from tallymq.cli.survey import Survey, survey
from tallymq.cli.values import time_text
from tallymq.proto import admin_pb2 as admin


def shard_item(number: int, whole: Survey) -> Item:
    """Return a shard as `-o json` prints it: as its leader sees it, else as the copy that got furthest does."""
    leader = whole.leader(number)
    best = leader or max(whole.copies(number), key=lambda pair: (pair[1].status.term, pair[1].status.majority_index))
    report = best[1]
    behind = [peer.behind_entries for peer in report.peers]
    sick = sorted({copy.status.health for _, copy in whole.copies(number)} - {"ok"})
    return {
        "shard": number,
        "leader": leader[0].node if leader else None,
        "term": report.status.term,
        "voters": list(report.voters),
        "learners": list(report.learners),
        "base_index": report.base_index,
        "majority_index": report.status.majority_index,
        "applied_index": report.status.applied_index,
        "last_index": report.status.last_index,
        "behind_entries_max": max(behind, default=0) if leader else None,
        "in_doubt": report.status.in_doubt,
        "oldest_in_doubt_time": time_text(report.oldest_in_doubt_time_ms),
        "waiting_bytes": report.waiting_bytes,
        "health": "; ".join(sick) or "ok",
    }


def copy_items(number: int, whole: Survey) -> list[Item]:
    """Return each node's copy of a shard as `-o json` prints it, of voters and learners that do not answer too."""
    leader = whole.leader(number)
    known = {peer.node: peer for peer in leader[1].peers} if leader else {}
    copies = {answer.node: copy for answer, copy in whole.copies(number)}
    report = shard_item(number, whole)
    named = [name for names in (report["voters"], report["learners"]) if isinstance(names, list) for name in names]
    return [
        _copy_item(name, copies.get(name), known.get(name), leads=leader is not None and leader[0].node == name)
        for name in sorted({*named, *copies})
    ]


def _copy_item(name: str, copy: admin.ShardReport | None, peer: admin.PeerCopy | None, *, leads: bool) -> Item:
    return {
        "node": name,
        "answers": copy is not None,
        "leads": leads,
        "takes_for_leader": (copy.status.leader or None) if copy else None,
        "applied_index": copy.status.applied_index if copy else None,
        "last_index": copy.status.last_index if copy else None,
        "synced_index": peer.synced_index if peer else None,
        "behind_entries": 0 if leads else peer.behind_entries if peer else None,
        "silent_ms": peer.silent_ms if peer else None,
        "waits_for_snapshot": peer.waits_for_snapshot if peer else None,
        "health": copy.status.health if copy else None,
    }


LIST_COLUMNS = (
    Column("SHARD", "shard", right=True),
    Column("LEADER", "leader"),
    Column("TERM", "term", right=True),
    Column("VOTERS", "voters"),
    Column("MAJORITY", "majority_index", right=True),
    Column("LAST", "last_index", right=True),
    Column("BEHIND", "behind_entries_max", right=True),
    Column("IN DOUBT", "in_doubt", right=True),
    Column("HEALTH", "health"),
)
SHOW_COLUMNS = (
    *LIST_COLUMNS[:4],
    Column("LEARNERS", "learners"),
    Column("LOG BEGINS AFTER", "base_index"),
    Column("MAJORITY", "majority_index"),
    Column("APPLIED", "applied_index"),
    Column("LAST", "last_index"),
    Column("IN DOUBT", "in_doubt"),
    Column("OLDEST IN DOUBT", "oldest_in_doubt_time"),
    Column("WAITING BYTES", "waiting_bytes"),
    Column("HEALTH", "health"),
)
COPY_COLUMNS = (
    Column("NODE", "node"),
    Column("ANSWERS", "answers"),
    Column("LEADS", "leads"),
    Column("FOLLOWS", "takes_for_leader"),
    Column("APPLIED", "applied_index", right=True),
    Column("LAST", "last_index", right=True),
    Column("BEHIND", "behind_entries", right=True),
    Column("SILENT MS", "silent_ms", right=True),
    Column("SNAPSHOT", "waits_for_snapshot"),
    Column("HEALTH", "health"),
)

shard = Group("shard", help="Shards, joined from what every node says of its own copies.")


@shard.command("list", examples=("tallymq shard list", "tallymq --server a:7070,b:7070 shard list -o json"))
@pass_run
def list_(run: Run) -> None:
    """List all shards: who leads, who votes, and how far the slowest copy is behind."""
    whole = survey(run)
    run.printer.list([shard_item(number, whole) for number in whole.shard_numbers], LIST_COLUMNS, "")
    for answer in whole.answers:
        if answer.silent:
            run.printer.say(f"{answer.node} does not answer: {answer.silent}.")


@shard.command(examples=("tallymq shard show 0",))
@click.argument("number", type=click.IntRange(0, 4_095), metavar="SHARD")
@pass_run
def show(run: Run, number: int) -> None:
    """Show one SHARD and each node's copy of it."""
    whole = survey(run)
    if number not in whole.shard_numbers:
        raise refused_here("UNKNOWN_SHARD", f"The cluster has no shard {number}.")
    item, copies = shard_item(number, whole), copy_items(number, whole)
    if run.printer.for_programs:
        run.printer.one({**item, "copies": copies}, ())
        return
    run.printer.lines(item, SHOW_COLUMNS)
    run.printer.heading("")
    run.printer.table(copies, COPY_COLUMNS)
