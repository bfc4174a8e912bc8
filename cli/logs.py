"""`fennel logs`: what a program printed."""

from __future__ import annotations

import time
from pathlib import Path

import click

from cli.stack import Stack, StackError
from config.loading import load_settings

POLL_S = 0.3


@click.command()
@click.argument("program", required=False)
@click.option(
    "-n", "--lines", default=50, show_default=True, type=click.IntRange(1), help="How many of its last lines."
)
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines, until Ctrl-C.")
def logs(program: str | None, lines: int, follow: bool) -> None:
    """Show what PROGRAM printed last; without a name, list the programs that have a log."""
    settings = load_settings()
    known = sorted(file.stem for file in settings.logs_folder.glob("*.log"))
    if program is None:
        click.echo("\n".join(known) or f"there are no logs in {settings.logs_folder} yet; `fennel up` starts Fennel")
        return
    if program not in known:
        raise StackError(f"{program} has no log in {settings.logs_folder}; these have: {', '.join(known) or 'none'}")
    for line in Stack(settings).log_tail(program, lines):
        click.echo(line)
    if follow:
        _follow(settings.logs_folder / f"{program}.log")


def _follow(file: Path) -> None:
    """Print what is added, also after supervisord has begun a new file."""
    position = file.stat().st_size
    while True:
        time.sleep(POLL_S)
        size = file.stat().st_size if file.exists() else 0
        if size < position:
            position = 0
        if size > position:
            with file.open("rb") as log:
                log.seek(position)
                added = log.read()
            position += len(added)
            click.echo(added.decode(errors="replace"), nl=False)
