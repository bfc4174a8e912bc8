"""How commands print: tables, progress bars, JSON, and the text of strangers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table

JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")


def progress_bar() -> Progress:
    """A progress bar on stderr, so that what is printed can be piped on."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))


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
