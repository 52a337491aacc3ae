"""`tallymq completion`: the script that makes a shell complete our commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from tallymq.cli.command import Command, Run, pass_run

COMPLETE_VARIABLE = "_TALLYMQ_COMPLETE"


@click.command(
    cls=Command,
    examples=(
        'eval "$(tallymq completion bash)"          # in .bashrc',
        'eval "$(tallymq completion zsh)"           # in .zshrc',
        "tallymq completion fish > ~/.config/fish/completions/tallymq.fish",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
@pass_run
def completion(run: Run, ctx: click.Context, shell: str) -> None:
    """Print the completion script for SHELL."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"No completion for {shell}.")
    run.printer.text(kind(ctx.find_root().command, {}, "tallymq", COMPLETE_VARIABLE).source())
