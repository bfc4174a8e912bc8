"""What the commands of `fennel kb` share: the opened store, tables, progress bars, JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import click

from config.settings import load_settings

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table

    from workers.knowledge.embedder import Embedder
    from workers.knowledge.store import Store

BASE_OPTION = click.option(
    "--kb", "--base", "base", default="default", show_default=True, metavar="BASE", help="The knowledge base."
)
JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")


@contextmanager
def opened() -> Iterator[tuple[Store, Embedder]]:
    """The store and the embedder of the settings; what they log goes to stderr, as what is printed can be piped on."""
    import structlog

    from workers.knowledge.embedder import open_embedder
    from workers.knowledge.store import open_store

    # At each line anew: a test's stderr is another one for each command.
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    settings = load_settings()
    settings.make_folders()
    embedder = open_embedder(settings.knowledge.embedder)
    with closing(open_store(settings, embedder)) as store:
        yield store, embedder


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

    return escape("".join(character for character in text if character.isprintable() or character == "\n"))
