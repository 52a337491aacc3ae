"""`tallymq node`: list, show."""

from __future__ import annotations

import click

from tallymq.cli.command import Group, Run, pass_run
from tallymq.cli.printer import Column, Item
from tallymq.cli.survey import Answer, Survey, one_node, survey
from tallymq.cli.values import show_duration, size_text, time_text, valid_text


def node_item(answer: Answer, whole: Survey) -> Item:
    """Return a node as `-o json` prints it; what only the node itself can say is null where it does not answer."""
    status, report, speaks = whole.addresses.get(answer.node), answer.report, not answer.silent
    others = [other for other in whole.speaking if other.node != answer.node]
    return {
        "node": answer.node,
        "client_address": (status.client_address if status else answer.address) or None,
        "peer_address": (status.peer_address if status else "") or None,
        "answers": speaks,
        "silent_because": answer.silent or None,
        "seen_by": sorted(other.node for other in others if answer.node in other.report.connected_nodes),
        "version": report.version if speaks else None,
        "uptime_ms": report.uptime_ms if speaks else None,
        "clock_ahead_ms": round(answer.clock_ahead_ms) if speaks else None,
        "clock_error_ms": round(answer.clock_error_ms) if speaks else None,
        "shards_led": report.shards_led if speaks else None,
        "free_bytes": report.free_bytes if speaks else None,
        "free_bytes_min": report.free_bytes_min if speaks else None,
        "log_bytes": report.log_bytes if speaks else None,
        "refusal": report.refusal or None,
        "connected_nodes": list(report.connected_nodes) if speaks else None,
        "certificates": [
            {"shown_to": each.shown_to, "ends": time_text(each.end_time_ms)} for each in report.certificates
        ]
        if speaks
        else None,
    }


def _show_size(value: object) -> str:
    return size_text(value) if isinstance(value, int) else "-"


def _show_certificates(value: object) -> str:
    if not isinstance(value, list) or not value:
        return "-"
    return ", ".join(f"to {each['shown_to']} until {each['ends']}" for each in value)


def _show_refusal(value: object) -> str:
    return f"refused: {value}" if value else "taken"


LIST_COLUMNS = (
    Column("NODE", "node"),
    Column("CLIENTS", "client_address"),
    Column("ANSWERS", "answers"),
    Column("SEEN BY", "seen_by"),
    Column("LEADS", "shards_led", right=True),
    Column("UP", "uptime_ms", show_duration, right=True),
    Column("FREE", "free_bytes", _show_size, right=True),
    Column("VERSION", "version"),
)
SHOW_COLUMNS = (
    Column("NODE", "node"),
    Column("CLIENTS", "client_address"),
    Column("PEERS", "peer_address"),
    Column("ANSWERS", "answers"),
    Column("WHY NOT", "silent_because"),
    Column("SEEN BY", "seen_by"),
    Column("CONNECTED TO", "connected_nodes"),
    *LIST_COLUMNS[4:],
    Column("LEAST FREE", "free_bytes_min", _show_size),
    Column("LOG", "log_bytes", _show_size),
    Column("WRITES", "refusal", _show_refusal),
    Column("CLOCK AHEAD MS", "clock_ahead_ms"),
    Column("GIVE OR TAKE MS", "clock_error_ms"),
    Column("CERTIFICATES", "certificates", _show_certificates),
)

node = Group("node", help="Nodes, each asked for itself: those of --server, and those that they name.")


@node.command("list", examples=("tallymq node list", "tallymq --server a:7070,b:7070 node list -o json"))
@pass_run
def list_(run: Run) -> None:
    """List all nodes, those that do not answer among them."""
    whole = survey(run)
    run.printer.list([node_item(answer, whole) for answer in whole.answers], LIST_COLUMNS, "")
    for answer in whole.answers:
        if answer.silent:
            run.printer.say(f"{answer.node} does not answer: {answer.silent}.")


@node.command(examples=("tallymq node show node-2",))
@click.argument("name", type=valid_text)
@pass_run
def show(run: Run, name: str) -> None:
    """Show the node NAME: room on its disk, its clock, its certificates, who sees it."""
    whole, answer = one_node(run, name)
    run.printer.one(node_item(answer, whole), SHOW_COLUMNS if not answer.silent else SHOW_COLUMNS[:6])
