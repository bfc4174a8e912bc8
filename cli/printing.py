"""How commands print: tables, progress bars, JSON, and the text of strangers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table

_AS_LINES = f"{__name__}.progress"


def _keep_progress(context: click.Context, _: click.Parameter, is_wanted: bool) -> None:
    context.meta[_AS_LINES] = is_wanted


JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
PROGRESS_OPTION = click.option(
    "--progress",
    is_flag=True,
    expose_value=False,
    callback=_keep_progress,
    help="Tell on stderr how far it is, a JSON object a line, in place of a bar.",
)


def progress_bar() -> Progress:
    """A progress bar on stderr, so that what is printed can be piped on; with `PROGRESS_OPTION`, lines for programs."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    context = click.get_current_context(silent=True)
    if context is None or not context.meta.get(_AS_LINES):
        return Progress(*columns, console=Console(stderr=True))
    from cli.progress_lines import ProgressLines

    return ProgressLines(*columns, console=Console(stderr=True), auto_refresh=False)


def new_table(*columns: str) -> Table:
    """A table whose paths are broken over lines, never shortened: they are there to be copied."""
    from rich.table import Table

    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def print_table(table: Table) -> None:
    """Print it as wide as the terminal is."""
    from rich.console import Console

    Console().print(table)


def print_json(found: dict[str, Any]) -> None:
    """Print one JSON object in one line."""
    click.echo(json.dumps(found, ensure_ascii=False))


def plain(text: str) -> str:
    """Text of a document as it is: square brackets are no styles, control characters no commands to the terminal."""
    from rich.markup import escape

    return escape(printable(text))


def printable(text: str) -> str:
    """Text of a stranger without what commands the terminal."""
    return "".join(character for character in text if character.isprintable() or character == "\n")
