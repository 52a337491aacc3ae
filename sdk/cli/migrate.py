"""`tallymq migrate`: the SQL of the tables that the client keeps in the user's database."""

from __future__ import annotations

import click

from tallymq.cli.command import Command, Run, pass_run
from tallymq.databases.schema import DIALECTS, statements


@click.command(
    cls=Command,
    examples=(
        "tallymq migrate postgresql | psql bank",
        "tallymq migrate mariadb | mariadb bank",
        "tallymq migrate sqlite | sqlite3 bank.db",
    ),
)
@click.argument("dialect", type=click.Choice([*DIALECTS, "mariadb"]))
@pass_run
def migrate(run: Run, dialect: str) -> None:
    """Print the SQL that makes TallyMQ's tables in a database of yours.

    The tables hold the marker of each transaction and the inbox of each consumer. Nothing is connected to: look at
    the statements and run them with your own tools. They can be run again.
    """
    if run.printer.for_programs:
        run.printer.list([{"dialect": dialect, "sql": sql} for sql in statements(dialect)], (), "")
        return
    for sql in statements(dialect):
        run.printer.text(f"{sql.strip().rstrip(';')};\n")
