"""`fennel kb add` and `fennel kb sync`: documents in."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.knowledge import BASE_OPTION, opened
from cli.printing import JSON_OPTION, PROGRESS_OPTION, new_table, plain, print_json, print_table, progress_bar
from config.loading import load_settings
from contract.errors import FennelError

if TYPE_CHECKING:
    from workers.knowledge.folder import DocumentFile
    from workers.knowledge.ingest import FileResult
    from workers.knowledge.source import Source, Sources

FAILED = 1
_SHOWN_ROWS = 50
_URL_OPTION = click.option(
    "--base-url",
    default="",
    metavar="URL",
    help="Where people open the documents; the path below the folder is appended, or put in place of {path} or {stem}.",
)


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH…")
@BASE_OPTION
@_URL_OPTION
@JSON_OPTION
@PROGRESS_OPTION
def add(paths: tuple[Path, ...], base: str, base_url: str, as_json: bool) -> None:
    """Add files, or all that can be read below a folder; unchanged ones are left alone.

    Exit code 1: every file failed.
    """
    from workers.knowledge.address import address_rule
    from workers.knowledge.folder import find_files

    missing = [path for path in paths if not path.exists()]
    if missing:
        raise FennelError(f"there is no {missing[0]}")
    left_out: Counter[str] = Counter()
    rule = address_rule(base_url)
    files = {file.identity: file for path in paths for file in find_files(path, left_out, rule)}
    if not files:
        raise FennelError(f"nothing that can be read is below {', '.join(map(str, paths))}{_left_out(left_out)}")
    results = _run(base, list(files.values()), "Adding documents", as_json)
    _finish(results, left_out, as_json)


@click.command()
@click.argument("place", required=False, metavar="[FOLDER|GIT-URL]")
@BASE_OPTION
@_URL_OPTION
@click.option("--branch", default="", help="The branch of a repository; by default its main one.")
@JSON_OPTION
@PROGRESS_OPTION
def sync(place: str | None, base: str, base_url: str, branch: str, as_json: bool) -> None:
    """Make the knowledge base hold what a folder or a git repository holds: what is gone there goes here.

    Whoever searches sees the state before or the state after. Without a place, every place that was synced before is
    synced again, each with its base and URL. Exit code 1: every file failed, or a place could not be read.
    """
    from workers.knowledge.base import check_base_name
    from workers.knowledge.source import Sources, named_source

    sources = Sources(load_settings().index_file.parent)
    if place is not None:
        asked = named_source(check_base_name(base), place, base_url, branch)
        known = next((one for one in sources.all() if (one.base, one.identity) == (base, asked.identity)), None)
        todo = [known if known is not None and not base_url else asked]
    else:
        todo = sources.all()
        if not todo:
            raise FennelError("nothing was synced yet: name a folder or a git URL")
    results: list[FileResult] = []
    left_out: Counter[str] = Counter()
    failures: list[str] = []
    for source in todo:
        try:
            results += _sync_one(source, sources, left_out, as_json)
        except FennelError as error:
            if place is not None:
                raise
            failures.append(f"{source.place}: {error}")  # the other places are synced all the same
    _finish(results, left_out, as_json, failures)


def _sync_one(source: Source, sources: Sources, left_out: Counter[str], as_json: bool) -> list[FileResult]:
    from workers.knowledge.source import source_files

    with sources.syncing():
        files = source_files(source, load_settings().index_file.parent, left_out)
        results = _run(source.base, files, f"Syncing {source.place}", as_json, remove_others_below=source.identity)
        sources.put(source)
    return results


def _run(
    base: str, files: Sequence[DocumentFile], title: str, as_json: bool, remove_others_below: str = ""
) -> list[FileResult]:
    from workers.knowledge.base import check_base_name
    from workers.knowledge.draft import Draft
    from workers.knowledge.ingest import Ingest
    from workers.knowledge.parsing import ParsingLimits, ParsingPool

    check_base_name(base)
    settings = load_settings()
    knowledge = settings.knowledge
    limits = ParsingLimits(knowledge.max_file_mb, knowledge.parse_memory_mb, knowledge.parse_timeout_s)
    names = {file.path.name for file in files}
    with (
        opened() as (store, embedder),
        closing(Draft(settings.index_file.with_name("draft.sqlite3"))) as draft,
        ParsingPool(limits, names) as pool,
        progress_bar() as progress,
    ):
        ingest = Ingest(
            store,
            embedder,
            max_file_mb=knowledge.max_file_mb,
            passage_tokens=knowledge.passage_tokens,
            base=base,
            parse_file=pool.parse,
            draft=draft,
        )
        task = progress.add_task(title, total=len(files), visible=not as_json)
        return ingest.add_all(
            files, remove_others_below=remove_others_below, on_result=lambda _: progress.advance(task)
        )


def _finish(results: Sequence[FileResult], left_out: Counter[str], as_json: bool, failures: Sequence[str] = ()) -> None:
    from workers.knowledge.ingest import FileStatus

    counts = Counter(result.status for result in results)
    if as_json:
        print_json(
            {
                **{status.value: counts[status] for status in FileStatus},
                "left_out": dict(left_out),
                "failures": list(failures),
                "files": [asdict(result) for result in results if result.status is not FileStatus.UNCHANGED],
            }
        )
    else:
        _print_results(results)
        click.echo(", ".join(f"{counts[status]} {status}" for status in FileStatus) + _left_out(left_out))
        for failure in failures:
            click.echo(failure, err=True)
    if failures or (results and counts[FileStatus.FAILED] == len(results)):
        sys.exit(FAILED)


def _print_results(results: Sequence[FileResult]) -> None:
    from workers.knowledge.ingest import FileStatus

    shown = [result for result in results if result.status is not FileStatus.UNCHANGED]
    # What failed is what has to be acted on.
    shown.sort(key=lambda result: (result.status is not FileStatus.FAILED, not result.reason))
    if shown:
        table = new_table("Source", "Result", "Passages", "Reason")
        for result in shown[:_SHOWN_ROWS]:
            passages = str(result.passages) if result.passages else ""
            table.add_row(plain(result.source), result.status, passages, plain(result.reason))
        print_table(table)
    if len(shown) > _SHOWN_ROWS:
        click.echo(f"… and {len(shown) - _SHOWN_ROWS} more")


def _left_out(left_out: Counter[str]) -> str:
    if not left_out:
        return ""
    kinds = ", ".join(f"{kind} {count}" for kind, count in left_out.most_common(8))
    return f"; {left_out.total()} files of other kinds left out ({kinds})"
