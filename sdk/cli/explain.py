"""`tallymq explain`: what a code means and what to do."""

from __future__ import annotations

import click

from tallymq.cli.command import Command, Run, pass_run
from tallymq.cli.exits import Exit, exit_of_status
from tallymq.cli.failure import Failure
from tallymq.cli.printer import Column, Item
from tallymq.proto.refusals import BY_CODE, BY_NAME, REFUSALS, Refusal


def refusal_item(refusal: Refusal) -> Item:
    """Return a row of the table of refusals as `-o json` prints it."""
    return {
        "code": refusal.code,
        "name": refusal.name,
        "status": refusal.status,
        "definite": refusal.definite,
        "retryable": refusal.retryable,
        "message": refusal.message,
        "hint": refusal.hint,
        "exit_code": int(exit_of_status(refusal.status)),
    }


def _show_definite(value: object) -> str:
    return "it certainly did not happen" if value else "it may have happened"


def _show_retryable(value: object) -> str:
    return "yes, the same request may succeed later" if value else "no, the same request will be refused again"


LIST_COLUMNS = (Column("CODE", "code"), Column("NAME", "name"), Column("MEANING", "message"))
SHOW_COLUMNS = (
    *LIST_COLUMNS,
    Column("WHAT TO DO", "hint"),
    Column("HAPPENED", "definite", _show_definite),
    Column("TRY AGAIN", "retryable", _show_retryable),
    Column("GRPC STATUS", "status"),
    Column("EXIT CODE", "exit_code"),
)


@click.command(
    cls=Command,
    examples=("tallymq explain TMQ-TXN-003", "tallymq explain ALREADY_COMMITTED", "tallymq explain"),
)
@click.argument("code", required=False)
@pass_run
def explain(run: Run, code: str | None) -> None:
    """Explain CODE (or its name): what happened and what to do. Without CODE, list them all. Asks no server."""
    if code is None:
        run.printer.list([refusal_item(refusal) for refusal in REFUSALS], LIST_COLUMNS, "")
        return
    wanted = code.strip().upper()
    found = BY_CODE.get(wanted) or BY_CODE.get(f"TMQ-{wanted}") or BY_NAME.get(wanted)
    if found is None:
        raise Failure(
            Exit.NOT_FOUND,
            f"There is no code {code}.",
            hint="`tallymq explain` lists all codes; another version of the server may know more.",
        )
    run.printer.one(refusal_item(found), SHOW_COLUMNS)
