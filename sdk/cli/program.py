"""The program: the root of all commands, and the place where every failure becomes a sentence and an exit code."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import NoReturn

import click
from click.shell_completion import shell_complete

from tallymq.cli.certs import certs
from tallymq.cli.cluster import cluster
from tallymq.cli.command import Group, Run, global_options
from tallymq.cli.completion import COMPLETE_VARIABLE, completion
from tallymq.cli.exits import Exit
from tallymq.cli.explain import explain
from tallymq.cli.failure import Failure, PartlyDone
from tallymq.cli.group import group
from tallymq.cli.message import message
from tallymq.cli.migrate import migrate
from tallymq.cli.node import node
from tallymq.cli.printer import Printer
from tallymq.cli.shard import shard
from tallymq.cli.topic import topic
from tallymq.cli.transaction import transaction

PROGRAM = "tallymq"


def _show_version(ctx: click.Context, _param: click.Parameter, asked: bool) -> None:
    if asked:
        click.echo(f"{PROGRAM} {version(PROGRAM)}")
        ctx.exit()


root = Group(
    name=PROGRAM,
    params=list(global_options(hidden=False)),
    help="Operate TallyMQ: topics, messages, transactions, groups and the cluster.\n\n"
    "Data goes to stdout, everything else to stderr. Exit codes: 0 done, 1 failure, 2 usage, 3 not found, 4 refused, "
    "5 unavailable, 6 not allowed, 7 partly done, 130 interrupted.",
    examples=(
        "tallymq topic create transfers --queues 8",
        "tallymq message publish transfers 'hello'",
        "tallymq transaction list --in-doubt --older 10m",
        "tallymq --server a:7070,b:7070 cluster status -o json",
        "tallymq --server a:7070,b:7070 cluster health",
    ),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
root.params.append(
    click.Option(
        ["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
    )
)
for noun in (topic, message, transaction, group, cluster, node, shard, migrate, certs, explain, completion):
    root.add_command(noun)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the program and leave with its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if instruction := os.environ.get(COMPLETE_VARIABLE):
        sys.exit(shell_complete(root, {}, PROGRAM, COMPLETE_VARIABLE, instruction))
    _make_printable()
    run = Run()
    try:
        code = run_command(run, words)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has seen enough (`| head`). Python must not find the pipe broken again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = Exit.OK
    finally:
        run.close()
    sys.exit(int(code))


def _make_printable() -> None:
    # A terminal that cannot show a letter of somebody's key shows its escape; that is no reason to fail.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def run_command(run: Run, words: list[str]) -> Exit:
    """Run one command line and return its exit code, having told what went wrong."""
    try:
        with root.make_context(PROGRAM, words, obj=run) as context:
            root.invoke(context)
    except click.exceptions.Exit as done:
        return Exit(done.exit_code)
    except PartlyDone as partly:
        _printer(run).say(partly.message)
        return partly.exit
    except Failure as failure:
        _printer(run).failure(failure)
        return failure.exit
    except click.ClickException as error:
        error.show()
        return Exit.USAGE if isinstance(error, click.UsageError) else Exit.FAILURE
    except (KeyboardInterrupt, click.Abort):
        _printer(run).say("Interrupted; it may have happened." if run.changing else "Interrupted.")
        return Exit.INTERRUPTED
    return Exit.OK


def _printer(run: Run) -> Printer:
    return Printer(run.settings.get("output", "table"))
