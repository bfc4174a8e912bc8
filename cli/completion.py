"""`fennel completion`: the lines that make a shell complete commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from contract.errors import FennelError

COMPLETE_VARIABLE = "_FENNEL_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes SHELL complete `fennel`; for bash: eval "$(fennel completion bash)" in ~/.bashrc."""
    from cli.main import fennel

    complete_class = get_completion_class(shell)
    if complete_class is None:
        raise FennelError(f"click cannot complete for {shell}")
    click.echo(complete_class(fennel, {}, "fennel", COMPLETE_VARIABLE).source())
