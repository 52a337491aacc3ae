"""What every command has: global options that may stand anywhere, an example in its help, and the run it belongs to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

import click

from tallymq.cli.connection import Choose, Connection, Reply, Request, TlsSettings
from tallymq.cli.exits import Exit
from tallymq.cli.failure import Failure, PartlyDone
from tallymq.cli.printer import Printer
from tallymq.cli.values import CLIENT_PORT, servers, timeout

DEFAULT_TIMEOUT_MS = 10_000

PAGE = 1000
"""How much of a long list is asked for at once: the most that a node gives."""


class Run:
    """One run of the program: what the global options say, the way to the service, and the printer."""

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {}

    @cached_property
    def printer(self) -> Printer:
        """The printer; ask for it only once all options are read."""
        return Printer(self.settings.get("output", "table"))

    @cached_property
    def connection(self) -> Connection:
        """The way to the service. Raises a usage error where the TLS options do not fit together."""
        return self.connection_to(self.servers, self.timeout_ms)

    @property
    def servers(self) -> tuple[str, ...]:
        """The servers to ask, host:port."""
        servers: tuple[str, ...] = self.settings.get("server", (f"127.0.0.1:{CLIENT_PORT}",))
        return servers

    @property
    def timeout_ms(self) -> int:
        """How long one question may take in all."""
        timeout_ms: int = self.settings.get("timeout", DEFAULT_TIMEOUT_MS)
        return timeout_ms

    def connection_to(self, servers: tuple[str, ...], timeout_ms: int) -> Connection:
        """Return a way to these servers, which the caller closes. Raises a usage error as `connection` does."""
        return Connection(servers, self._tls(), timeout_ms)

    def read(self, choose: Choose[Request, Reply], request: Request) -> Reply:
        """Ask something that changes nothing. Raises Failure."""
        return self.connection.read(choose, request)

    def write(self, choose: Choose[Request, Reply], request: Request) -> Reply:
        """Ask for a change, which must be safe to ask for twice. Raises Failure."""
        return self.connection.write(choose, request)

    @property
    def changing(self) -> bool:
        """Whether a change was asked for and its answer has not come."""
        return "connection" in self.__dict__ and self.connection.changing

    def close(self) -> None:
        """Close what was opened."""
        if "connection" in self.__dict__:
            self.connection.close()

    def _tls(self) -> TlsSettings | None:
        ca, certificate, key = (self.settings.get(name) for name in ("tls_ca", "tls_cert", "tls_key"))
        if (certificate is None) != (key is None):
            raise click.UsageError("--tls-cert and --tls-key go together.")
        if certificate is not None and ca is None:
            raise click.UsageError("--tls-cert needs --tls-ca: a server that is not checked must not be trusted.")
        return TlsSettings(Path(ca), _path(certificate), _path(key)) if ca is not None else None


def _path(text: str | None) -> Path | None:
    return Path(text) if text is not None else None


pass_run = click.make_pass_decorator(Run)


def _remember(ctx: click.Context, param: click.Parameter, value: object) -> None:
    if value is not None and param.name is not None:
        ctx.ensure_object(Run).settings[param.name] = value


Kind: TypeAlias = "Callable[[str], object] | click.Choice[str]"


def global_options(*, hidden: bool) -> list[click.Option]:
    """Return the options every command takes; the environment is read once, at the root."""

    def option(*names: str, kind: Kind, variable: str, text: str) -> click.Option:
        return click.Option(
            names,
            type=kind,
            help=text,
            envvar=None if hidden else variable,
            show_envvar=True,
            hidden=hidden,
            expose_value=False,
            callback=_remember,
        )

    return [
        option(
            "--server",
            kind=servers,
            variable="TALLYMQ_SERVER",
            text=f"Servers to ask, in turn: host:port,...  [default: 127.0.0.1:{CLIENT_PORT}]",
        ),
        option("--tls-ca", kind=str, variable="TALLYMQ_TLS_CA", text="CA of the cluster (PEM file); turns TLS on."),
        option("--tls-cert", kind=str, variable="TALLYMQ_TLS_CERT", text="Client certificate (PEM file)."),
        option("--tls-key", kind=str, variable="TALLYMQ_TLS_KEY", text="Key of the client certificate (PEM file)."),
        option(
            "--timeout",
            kind=timeout,
            variable="TALLYMQ_TIMEOUT",
            text="How long one question may take in all.  [default: 10s]",
        ),
        option(
            "-o",
            "--output",
            kind=click.Choice(["table", "json"]),
            variable="TALLYMQ_OUTPUT",
            text="Tables for people, or JSON for programs.  [default: table]",
        ),
    ]


class Command(click.Command):
    """A command whose help ends with examples and which takes the global options too."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:  # noqa: ANN401 - handed to click
        super().__init__(*args, **kwargs)
        self.examples = examples
        self.params.extend(global_options(hidden=True))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, each on a line of its own."""
        _write_examples(self.examples, formatter)
        formatter.write_paragraph()
        formatter.write_text("Global options (see `tallymq --help`) may stand here too.")


class Group(click.Group):
    """A noun, or the program itself."""

    command_class = Command

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:  # noqa: ANN401 - handed to click
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, each on a line of its own."""
        _write_examples(self.examples, formatter)


def _write_examples(examples: Sequence[str], formatter: click.HelpFormatter) -> None:
    if examples:
        with formatter.section("Examples" if len(examples) > 1 else "Example"):
            for example in examples:
                formatter.write(f"{'':>{formatter.current_indent}}{example}\n")


class Named(Protocol):
    """Something in a list that is ordered by name."""

    @property
    def name(self) -> str:
        """Where the next page follows."""


Thing = TypeVar("Thing", bound=Named)


def every_page(read_page: Callable[[str], Sequence[Thing]]) -> Iterator[Thing]:
    """Yield the things of all pages. `read_page` returns at most PAGE of them, those that follow a name, by name."""
    after = ""
    while True:
        page = read_page(after)
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1].name


def confirm(question: str, *, yes: bool) -> None:
    """Ask before what cannot be undone. Raises Failure on no, and a usage error where nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("This cannot be undone and there is no terminal to ask at; say --yes.")
    if not click.confirm(question, err=True):
        raise Failure(Exit.FAILURE, "Given up.", definite=True)


def for_each(run: Run, targets: Sequence[str], act: Callable[[str], None]) -> None:
    """Act on each target, telling each failure as it comes.

    Raises the failure itself where nothing was done, PartlyDone where something was. Stops asking once nobody answers.
    """
    failures: list[Failure] = []
    done = 0
    for place, target in enumerate(targets):
        try:
            act(target)
            done += 1
        except Failure as failure:
            if len(targets) == 1:
                raise
            failure.message = f"{target}: {failure.message}"
            run.printer.failure(failure)
            failures.append(failure)
            if failure.exit is Exit.UNAVAILABLE:
                skipped = len(targets) - place - 1
                run.printer.say(f"{skipped} more not tried." if skipped else "Nothing more to try.")
                break
    if not failures:
        return
    if not done:
        raise PartlyDone(failures[0].exit, "Nothing was done.")
    raise PartlyDone(Exit.PARTLY_DONE, f"{done} of {len(targets)} done.")
