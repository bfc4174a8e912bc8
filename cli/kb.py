"""`fennel kb …`: documents in, and a look at what is found in them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from config.settings import load_settings
from contract.errors import FennelError

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table

    from workers.knowledge.embedder import Embedder
    from workers.knowledge.ingest import FileResult
    from workers.knowledge.store import Store

FAILED = 1
_SHOWN_ROWS = 50
_QUOTE_CHARACTERS = 160


@click.group()
def kb() -> None:
    """Add documents to the knowledge base, and look into it."""


@kb.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH…")
def add(paths: tuple[Path, ...]) -> None:
    """Add Markdown and text files, or all of them below a folder; unchanged ones are left alone.

    Exit code 1: every file failed.
    """
    from workers.knowledge.ingest import FileStatus, Ingest, files_below

    missing = [path for path in paths if not path.exists()]
    if missing:
        raise FennelError(f"there is no {missing[0]}")
    files = files_below(paths)
    if not files:
        raise FennelError(f"no Markdown or text files below {', '.join(map(str, paths))}: only .md and .txt are read")
    knowledge = load_settings().knowledge
    results: list[FileResult] = []
    with _opened() as (store, embedder), _progress() as progress:
        ingest = Ingest(store, embedder, max_file_mb=knowledge.max_file_mb, passage_tokens=knowledge.passage_tokens)
        task = progress.add_task("Adding documents", total=len(files))
        for file in files:
            results.append(ingest.add(file))
            progress.advance(task)
    _print_results(results)
    if all(result.status is FileStatus.FAILED for result in results):
        sys.exit(FAILED)


@kb.command(name="list")
def list_() -> None:
    """List the documents."""
    from workers.knowledge.base import DEFAULT_BASE

    with _opened() as (store, _):
        documents = store.documents(DEFAULT_BASE)
    table = _table("Source", "Title", "Language", "Passages", "Added")
    for one in documents:
        added = datetime.fromtimestamp(one.added_at_s).astimezone().strftime("%Y-%m-%d %H:%M")
        table.add_row(_plain(one.source), _plain(one.title), one.language, str(one.passages), added)
    _print(table)
    click.echo(f"{len(documents)} documents, {sum(one.passages for one in documents)} passages")


@kb.command()
@click.argument("query")
@click.option("--limit", default=5, show_default=True, type=click.IntRange(1, 50), help="Passages to show.")
def search(query: str, limit: int) -> None:
    """Show the passages that a question finds, and what the gate makes of them."""
    from workers.gate import COMPARED_HITS
    from workers.gates.learned import open_gate
    from workers.knowledge.retrievers.hybrid import HybridRetriever

    with _opened() as (store, embedder):
        hits = HybridRetriever(store, embedder).search(query, max(limit, COMPARED_HITS))
        decision = open_gate(load_settings(), embedder).decide(query, hits, ())
    table = _table("Score", "Meaning", "Words", "Where", "Passage")
    for hit in hits[:limit]:
        where = f"{hit.passage.label}\n{hit.passage.source}"
        begin = " ".join(hit.passage.text.split())[:_QUOTE_CHARACTERS]
        table.add_row(f"{hit.score:.2f}", f"{hit.dense:.2f}", f"{hit.coverage:.2f}", _plain(where), _plain(begin))
    _print(table)
    click.echo(f"gate: {decision.verdict}, score {decision.score:.2f} ({', '.join(decision.reasons)})")


@kb.command()
@click.argument("source")
def remove(source: str) -> None:
    """Remove a document by its source as `fennel kb list` names it, or all below a folder."""
    from workers.knowledge.base import DEFAULT_BASE

    inside = source.rstrip("/") + "/"
    with _opened() as (store, _):
        found = store.documents(DEFAULT_BASE)
        removed = [one.identity for one in found if one.source == source or one.source.startswith(inside)]
        store.apply(DEFAULT_BASE, remove=removed)
    if not removed:
        raise FennelError(f"there is no document {source}: `fennel kb list` names them all")
    click.echo(f"{len(removed)} removed")


@kb.command()
def rebuild() -> None:
    """Make all vectors anew with the embedder of the settings."""
    from workers.knowledge import ingest

    with _opened() as (store, embedder), _progress() as progress:
        task = progress.add_task("Making vectors", total=None)
        passages = ingest.rebuild(
            store, embedder, lambda done, whole: progress.update(task, completed=done, total=whole)
        )
    click.echo(f"{passages} passages have new vectors")


@contextmanager
def _opened() -> Iterator[tuple[Store, Embedder]]:
    from workers.knowledge.embedder import open_embedder
    from workers.knowledge.store import open_store

    settings = load_settings()
    settings.make_folders()
    embedder = open_embedder(settings.knowledge.embedder)
    with closing(open_store(settings, embedder)) as store:
        yield store, embedder


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))


def _print_results(results: list[FileResult]) -> None:
    from workers.knowledge.ingest import FileStatus

    shown = [result for result in results if result.status is not FileStatus.UNCHANGED]
    # What failed is what has to be acted on.
    shown.sort(key=lambda result: result.status is not FileStatus.FAILED)
    if shown:
        table = _table("Source", "Result", "Passages", "Reason")
        for result in shown[:_SHOWN_ROWS]:
            passages = str(result.passages) if result.passages else ""
            table.add_row(_plain(result.source), result.status, passages, _plain(result.reason))
        _print(table)
    if len(shown) > _SHOWN_ROWS:
        click.echo(f"… and {len(shown) - _SHOWN_ROWS} more")
    counts = Counter(result.status for result in results)
    click.echo(", ".join(f"{counts[status]} {status}" for status in FileStatus))


def _table(*columns: str) -> Table:
    """A table whose paths are broken over lines, never shortened: they are there to be copied."""
    from rich.table import Table

    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _print(table: Table) -> None:
    from rich.console import Console

    Console().print(table)


def _plain(text: str) -> str:
    """Text of a document as it is: square brackets are no styles, control characters no commands to the terminal."""
    from rich.markup import escape

    return escape("".join(character for character in text if character.isprintable() or character == "\n"))
