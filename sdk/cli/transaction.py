"""`tallymq transaction`: list, show, check, commit, rollback."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator
from typing import TypeVar

import click

from tallymq.cli.command import PAGE, Group, Run, confirm, for_each, pass_run
from tallymq.cli.printer import Column, Item
from tallymq.cli.values import duration, identity, time_text, valid_text
from tallymq.proto import admin_pb2 as admin

REASON_BYTES_MAX = 255
OPERATOR_BYTES_MAX = 64

Function = TypeVar("Function", bound=Callable[..., object])

STATES = {
    admin.TRANSACTION_STATE_IN_DOUBT: "in_doubt",
    admin.TRANSACTION_STATE_COMMITTED: "committed",
    admin.TRANSACTION_STATE_ROLLED_BACK: "rolled_back",
}


def transaction_item(transaction: admin.Transaction) -> Item:
    """Return a transaction as `-o json` prints it."""
    handle = transaction.handle
    return {
        "transaction_id": transaction.transaction_id.hex(),
        "state": STATES.get(transaction.state, "unknown"),
        "topic": transaction.topic,
        "queue": transaction.queue,
        "producer_group": transaction.producer_group,
        "prepared_time": time_text(transaction.prepared_time_ms),
        "checks": transaction.checks,
        "next_check_time": time_text(transaction.next_check_time_ms),
        "decided_by": transaction.decided_by or None,
        "decided_time": time_text(transaction.decided_time_ms),
        "handle": {
            "shard": handle.shard,
            "index": handle.index,
            "batch": handle.batch,
            "record": handle.record,
            "instance": f"{handle.instance:016x}",
            "sequence": handle.sequence,
        },
    }


def _show_handle(value: object) -> str:
    if not isinstance(value, dict):
        return "-"
    return f"shard {value['shard']}, index {value['index']}, batch {value['batch']}, record {value['record']}"


LIST_COLUMNS = (
    Column("TRANSACTION", "transaction_id"),
    Column("STATE", "state"),
    Column("TOPIC", "topic"),
    Column("QUEUE", "queue", right=True),
    Column("GROUP", "producer_group"),
    Column("PREPARED", "prepared_time"),
    Column("CHECKS", "checks", right=True),
    Column("DECIDED BY", "decided_by"),
)
SHOW_COLUMNS = (
    *LIST_COLUMNS[:7],
    Column("NEXT CHECK", "next_check_time"),
    LIST_COLUMNS[7],
    Column("DECIDED", "decided_time"),
    Column("HANDLE", "handle", _show_handle),
)

transaction = Group("transaction", help="Transactions: what is in doubt, who decided what, and deciding by hand.")


@transaction.command(
    "list",
    examples=(
        "tallymq transaction list",
        "tallymq transaction list --in-doubt --older 10m",
        "tallymq transaction list --in-doubt --group bank -o json",
    ),
)
@click.option("--in-doubt", is_flag=True, help="Only those nobody has decided.")
@click.option("--older", type=duration, default="0", metavar="DURATION", help="Only those prepared this long ago.")
@click.option(
    "--group", "producer_group", type=valid_text, default="", metavar="NAME", help="Only those of this producer group."
)
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="How many at most.")
@pass_run
def list_(run: Run, in_doubt: bool, older: int, producer_group: str, limit: int) -> None:
    """List transactions, oldest first within a shard."""
    wanted = admin.ListTransactionsRequest(in_doubt=in_doubt, older_ms=older, producer_group=producer_group)
    items: list[Item] = []
    more, total = False, 0
    for reply in _pages(run, wanted, limit):
        items.extend(transaction_item(found) for found in reply.transactions)
        more, total = bool(reply.next), reply.in_doubt_total
    run.printer.list(items, LIST_COLUMNS, "No such transactions.")
    if more:
        run.printer.say(f"There are more than {limit}; see --limit.")
    run.printer.say(f"{total} in doubt in all.")


def _pages(run: Run, wanted: admin.ListTransactionsRequest, limit: int) -> Iterator[admin.ListTransactionsReply]:
    left = limit
    after = b""
    while True:
        request = admin.ListTransactionsRequest()
        request.CopyFrom(wanted)
        request.limit, request.after = min(left, PAGE), after
        reply = run.read(lambda stubs: stubs.admin.ListTransactions, request)
        yield reply
        left -= len(reply.transactions)
        after = reply.next
        if left <= 0 or not after:
            return


@transaction.command(examples=("tallymq transaction show 5fca32b1908d4a7e0000000700000000",))
@click.argument("transaction_id", type=identity, metavar="ID")
@pass_run
def show(run: Run, transaction_id: bytes) -> None:
    """Show the transaction ID: its state, its checks, who decided it and why."""
    request = admin.GetTransactionRequest(transaction_id=transaction_id)
    reply = run.read(lambda stubs: stubs.admin.GetTransaction, request)
    run.printer.one(transaction_item(reply.transaction), SHOW_COLUMNS)


@transaction.command(examples=("tallymq transaction check 5fca32b1908d4a7e0000000700000000",))
@click.argument("transaction_ids", type=identity, nargs=-1, required=True, metavar="ID...")
@pass_run
def check(run: Run, transaction_ids: tuple[bytes, ...]) -> None:
    """Ask the producer group now what became of transactions, instead of when their check is due."""
    items: list[Item] = []

    def act(text: str) -> None:
        request = admin.CheckTransactionRequest(transaction_id=bytes.fromhex(text))
        reply = run.write(lambda stubs: stubs.admin.CheckTransaction, request)
        items.append({"transaction_id": text, "sessions": reply.sessions})

    try:
        for_each(run, [transaction_id.hex() for transaction_id in transaction_ids], act)
    finally:
        columns = (Column("TRANSACTION", "transaction_id"), Column("SESSIONS HERE", "sessions", right=True))
        run.printer.list(items, columns, "")
    if any(item["sessions"] == 0 for item in items):
        run.printer.say("No producer of the group is connected to the node that answered; one elsewhere may answer.")


def reason_text(text: str) -> str:
    """Return the reason of a decision, 1 to 255 bytes. Raises BadParameter."""
    return _limited(text, REASON_BYTES_MAX)


def operator_text(text: str) -> str:
    """Return an operator's name, 1 to 64 bytes. Raises BadParameter."""
    return _limited(text, OPERATOR_BYTES_MAX)


def _limited(text: str, bytes_max: int) -> str:
    if not 1 <= len(valid_text(text).encode()) <= bytes_max:
        raise click.BadParameter(f"it must be 1 to {bytes_max} bytes long.")
    return text


def _decision_options(command: Function) -> Function:
    parameters = (
        click.argument("transaction_ids", type=identity, nargs=-1, required=True, metavar="ID..."),
        click.option("--reason", type=reason_text, metavar="TEXT", required=True, help="Why; kept. 1 to 255 bytes."),
        click.option(
            "--operator",
            type=operator_text,
            metavar="NAME",
            envvar="TALLYMQ_OPERATOR",
            help="Who decides.  [default: your user name]",
        ),
        click.option("--yes", is_flag=True, help="Do not ask."),
    )
    for parameter in reversed(parameters):
        command = parameter(command)
    return command


def _decide(run: Run, ids: tuple[bytes, ...], *, commit: bool, operator: str | None, reason: str, yes: bool) -> None:
    verb = "Commit" if commit else "Roll back"
    texts = [transaction_id.hex() for transaction_id in ids]
    confirm(f"{verb} {', '.join(texts)}? The first decision is final.", yes=yes)
    who = operator or _user()
    items: list[Item] = []

    def act(text: str) -> None:
        request = admin.DecideTransactionRequest(
            transaction_id=bytes.fromhex(text), commit=commit, operator=who, reason=reason
        )
        reply = run.write(lambda stubs: stubs.admin.DecideTransaction, request)
        items.append(transaction_item(reply.transaction))

    try:
        for_each(run, texts, act)
    finally:
        run.printer.list(items, LIST_COLUMNS, "")


def _user() -> str:
    try:
        return getpass.getuser().encode()[:OPERATOR_BYTES_MAX].decode(errors="ignore")
    except (KeyError, OSError, ImportError):
        # No user database, as in a bare container.
        raise click.UsageError("Who decides? Say --operator NAME.") from None


@transaction.command(
    examples=("tallymq transaction commit 5fca32b1908d4a7e0000000700000000 --reason 'the transfer is in the ledger'",)
)
@_decision_options
@pass_run
def commit(run: Run, transaction_ids: tuple[bytes, ...], reason: str, operator: str | None, yes: bool) -> None:
    """Commit transactions by hand: their messages are delivered. The first decision is final."""
    _decide(run, transaction_ids, commit=True, operator=operator, reason=reason, yes=yes)


@transaction.command(
    examples=("tallymq transaction rollback 5fca32b1908d4a7e0000000700000000 --reason 'no such row in the ledger'",)
)
@_decision_options
@pass_run
def rollback(run: Run, transaction_ids: tuple[bytes, ...], reason: str, operator: str | None, yes: bool) -> None:
    """Roll transactions back by hand: their messages are never delivered. The first decision is final."""
    _decide(run, transaction_ids, commit=False, operator=operator, reason=reason, yes=yes)
