"""`fennel kb …`: documents in, and a look at what is found in them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from cli.kb_adding import add, sync
from cli.kb_binding import bind, bindings, unbind
from cli.kb_score import score
from cli.kb_tune import tune
from cli.knowledge import BASE_OPTION, opened
from cli.printing import (
    JSON_OPTION,
    PROGRESS_OPTION,
    new_table,
    plain,
    print_json,
    print_table,
    printable,
    progress_bar,
)
from config.loading import load_settings
from contract.errors import FennelError

if TYPE_CHECKING:
    from workers.knowledge.retriever import ScoredPassage
    from workers.knowledge.store import StoredDocument

_QUOTE_CHARACTERS = 160


@click.group()
def kb() -> None:
    """Add documents to the knowledge base, and look into it."""


for command in (add, sync, bind, unbind, bindings, tune, score):
    kb.add_command(command)


@kb.command(name="list")
@BASE_OPTION
@JSON_OPTION
def list_(base: str, as_json: bool) -> None:
    """List the documents of a knowledge base, and the other bases."""
    with opened() as (store, _):
        documents, bases = store.documents(base), store.bases()
    if as_json:
        counts = {one.name: {"documents": one.documents, "passages": one.passages} for one in bases}
        print_json({"base": base, "documents": [_described(one) for one in documents], "bases": counts})
        return
    table = new_table("Source", "Title", "Language", "Passages", "Added")
    for one in documents:
        table.add_row(plain(one.source), plain(one.title), one.language, str(one.passages), _time(one.added_at_s))
    print_table(table)
    click.echo(f"{len(documents)} documents, {sum(one.passages for one in documents)} passages")
    others = [f"{one.name} ({one.documents} documents)" for one in bases if one.name != base]
    if others:
        click.echo(f"other knowledge bases: {', '.join(others)}")


@kb.command()
@click.argument("source")
@BASE_OPTION
@JSON_OPTION
def show(source: str, base: str, as_json: bool) -> None:
    """Show the passages that a document was cut into; the document by its source as `fennel kb list` names it."""
    with opened() as (store, _):
        found = next((one for one in store.documents(base) if one.source == source), None)
        if found is None:
            raise FennelError(f"there is no document {source}: `fennel kb list` names them all")
        passages = store.passages_of(base, found.identity)
    if as_json:
        said = [
            {"heading": one.heading, "page": one.page, "url": one.url, "language": one.language, "text": one.text}
            for one in passages
        ]
        print_json({**_described(found), "passages": said})
        return
    click.echo(f"{printable(found.title)} ({found.language}), {found.passages} passages, {_time(found.added_at_s)}")
    for one in passages:
        click.echo(f"\n--- {printable(one.label)}\n    {printable(one.place)}\n{printable(one.text)}")


@kb.command()
@click.argument("query")
@BASE_OPTION
@JSON_OPTION
@click.option("--limit", default=5, show_default=True, type=click.IntRange(1, 50), help="Passages to show.")
def search(query: str, base: str, as_json: bool, limit: int) -> None:
    """Show the passages that a question finds, and what the gate makes of them."""
    from workers.gate import COMPARED_HITS
    from workers.gates.learned import open_gate
    from workers.knowledge.retrievers.hybrid import open_retriever

    settings = load_settings()
    with opened() as (store, embedder):
        hits = open_retriever(settings, store, embedder).search(query, max(limit, COMPARED_HITS), [base])
        decision = open_gate(settings, embedder).decide(query, hits, (), (base,))
    if as_json:
        gate = {"verdict": decision.verdict, "score": decision.score, "reasons": list(decision.reasons)}
        print_json({"base": base, "passages": [_described_hit(hit) for hit in hits[:limit]], "gate": gate})
        return
    table = new_table("Score", "Meaning", "Words", "Where", "Passage")
    for hit in hits[:limit]:
        where = f"{hit.passage.label}\n{hit.passage.place}"
        begin = " ".join(hit.passage.text.split())[:_QUOTE_CHARACTERS]
        table.add_row(f"{hit.score:.2f}", f"{hit.dense:.2f}", f"{hit.coverage:.2f}", plain(where), plain(begin))
    print_table(table)
    click.echo(f"gate: {decision.verdict}, score {decision.score:.2f} ({', '.join(decision.reasons)})")


@kb.command()
@click.argument("source", required=False)
@BASE_OPTION
@click.option("--all", "whole", is_flag=True, help="Remove the whole knowledge base.")
@JSON_OPTION
@PROGRESS_OPTION
def remove(source: str | None, base: str, whole: bool, as_json: bool) -> None:
    """Remove a document by its source as `fennel kb list` names it, or all below a folder or repository."""
    from workers.knowledge.source import Sources

    if bool(source) == whole:
        raise FennelError("name a document or a folder, or the whole base by --all")
    with opened() as (store, _):
        documents = store.documents(base)
        removed = [one for one in documents if whole or _is_below(one, source or "")]
        if whole:
            store.remove_base(base)
        elif removed:
            store.apply(base, remove=[one.identity for one in removed])
    sources = Sources(load_settings().index_file.parent)
    gone = [one for one in sources.all() if one.base == base and (whole or one.place == source)]
    for one in gone:  # or the next sync would bring it back
        sources.remove(base, one.identity)
    if not removed and not gone:
        what = f"base {base}" if whole else f"document {source}"
        raise FennelError(f"there is no {what}: `fennel kb list` names them all")
    if as_json:
        print_json({"removed": [one.source for one in removed]})
    else:
        click.echo(f"{len(removed)} removed")


@kb.command()
def rebuild() -> None:
    """Make all vectors anew with the embedder of the settings."""
    from workers.knowledge import ingest

    with opened() as (store, embedder), progress_bar() as progress:
        task = progress.add_task("Making vectors", total=None)
        passages = ingest.rebuild(
            store, embedder, lambda done, whole: progress.update(task, completed=done, total=whole)
        )
    click.echo(f"{passages} passages have new vectors")


def _is_below(document: StoredDocument, source: str) -> bool:
    return document.source == source or document.source.startswith(f"{source.rstrip('/')}/")


def _described(document: StoredDocument) -> dict[str, object]:
    return {
        "source": document.source,
        "title": document.title,
        "language": document.language,
        "passages": document.passages,
        "size_bytes": document.size_bytes,
        "added_at_s": document.added_at_s,
    }


def _described_hit(hit: ScoredPassage) -> dict[str, object]:
    passage = hit.passage
    scores = {"score": hit.score, "dense": hit.dense, "coverage": hit.coverage}
    where = {"title": passage.title, "heading": passage.heading, "source": passage.source, "place": passage.place}
    return {**scores, **where, "language": passage.language, "text": passage.text}


def _time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s).astimezone().strftime("%Y-%m-%d %H:%M")
