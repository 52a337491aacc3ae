"""`tallymq certs`: a development CA, and certificates for nodes and clients."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tallymq.cli.command import Command, Run, pass_run
from tallymq.cli.exits import Exit
from tallymq.cli.failure import Failure
from tallymq.cli.printer import Column

if TYPE_CHECKING:
    from tallymq.cli.authority import Authority

NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?\Z")
HOST = re.compile(r"(\*\.)?[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?\Z")
CA_NAME = "ca"


@click.command(
    cls=Command,
    examples=(
        "tallymq certs node1 node2 node3 operator",
        "tallymq certs node4 --out certs --san node4.example.com --san 10.0.0.4",
    ),
)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("certs"), show_default=True,
              help="Directory for the files; made if it is missing.")  # fmt: skip
@click.option("--san", "hosts", multiple=True, metavar="HOST", help="A further host name or address; may be repeated.")
@click.option("--days", type=click.IntRange(1, 825), default=365, show_default=True, help="How long they are valid.")
@click.option("--force", is_flag=True, help="Replace certificates of these names. The CA is never replaced.")
@pass_run
def certs(run: Run, names: tuple[str, ...], out: Path, hosts: tuple[str, ...], days: int, force: bool) -> None:
    """Make a development CA, once, and a certificate for each NAME (a node or a client).

    Writes ca.pem, ca-key.pem, and NAME.pem, NAME-key.pem for each; keys are readable by you alone. Each certificate is
    for its NAME, localhost, 127.0.0.1, ::1 and every --san. A CA that is there already is used again, so that a node
    can be added later. Meant for development: guard ca-key.pem, or use your own CA.
    """
    _check_names(names, hosts)
    taken = [path for name in names for path in (out / f"{name}.pem", out / f"{name}-key.pem") if path.exists()]
    if taken and not force:
        raise Failure(
            Exit.REFUSED,
            f"{taken[0]} exists; nothing was written.",
            hint="Choose another --out, or say --force to replace it.",
            definite=True,
        )
    authority = _authority(out)
    written = [authority.issue(name, hosts, days) for name in dict.fromkeys(names)]
    items = [
        {"name": name, "certificate": str(certificate), "key": str(key), "ca": str(authority.certificate_path)}
        for name, certificate, key in written
    ]
    columns = (Column("NAME", "name"), Column("CERTIFICATE", "certificate"), Column("KEY", "key"), Column("CA", "ca"))
    run.printer.list(items, columns, "")
    if authority.is_new:
        run.printer.say(f"Made a CA of its own in {out}. Whoever has {authority.key_path} can make certificates.")


def _check_names(names: tuple[str, ...], hosts: tuple[str, ...]) -> None:
    for name in names:
        if not NAME.match(name) or name == CA_NAME or name.endswith("-key"):
            raise click.UsageError(
                f"{name!r} cannot be a name here: 1 to 64 letters, digits, dots, underscores and hyphens, "
                f"not '{CA_NAME}' and not ending in '-key'."
            )
    for host in hosts:
        if not (HOST.match(host) or _is_ip(host)):
            raise click.UsageError(f"{host!r} is neither a host name nor an IP address.")


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _authority(directory: Path) -> Authority:
    try:
        # Only this command needs cryptography, and a plain client installs without it.
        from tallymq.cli.authority import Authority
    except ImportError:
        raise Failure(
            Exit.FAILURE,
            "Making certificates needs the package cryptography, which is not installed; nothing was written.",
            hint="pip install 'tallymq[certs]'",
            definite=True,
        ) from None
    try:
        return Authority.open(directory)
    except OSError as error:
        raise Failure(Exit.FAILURE, f"{error.filename or directory}: {error.strerror}.", definite=True) from error
