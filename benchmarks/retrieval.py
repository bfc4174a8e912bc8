"""What is found, and how fast: ``python -m benchmarks.retrieval [--json] [--passages 1000000]``.

Quality: labelled questions on three sets of documents, one page being right for each; in the question's language and
across languages; `--quality-only` leaves the rest out, `--hard` asks 3,000 harder questions. The baselines are either
side of the search alone. Speed: bases of made-up passages.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.ingest import measure_adding
from benchmarks.question_sets import LabelledQuestion, QuestionSet, hard_sets, shipped_sets
from benchmarks.report import print_table, write_results
from config.loading import load_settings
from tests.workers.knowledge.base import files_below
from workers.knowledge.embedder import Embedder, open_embedder
from workers.knowledge.ingest import Ingest
from workers.knowledge.reranker import Reranker, open_reranker
from workers.knowledge.retrievers.hybrid import HybridRetriever
from workers.knowledge.store import Store
from workers.knowledge.stores.embedded import EmbeddedStore

SIZES = (10_000, 100_000, 1_000_000)
PASSAGE_TOKENS = 220
FOUND = 10
FEW_SETS = 5  # more are shown together alone
ADDED_FILES = 1_500  # `python -m benchmarks.ingest` adds 10,000, in rounds


@dataclass(frozen=True)
class Ranked:
    """A question, the rank of its page, 0 where it was not found, and what the search took."""

    group: str
    rank: int
    took_ms: float


def main() -> None:
    """Measure, print the tables and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--passages", type=int, default=SIZES[-1], help="the largest base for the speed")
    parser.add_argument("--bases", type=Path, help="a folder to keep the made-up bases in, which take minutes to fill")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--quality-only", action="store_true", help="leave the speed out")
    only.add_argument("--hard", action="store_true", help="3,000 harder questions, and nothing else")
    only.add_argument("--speed-only", action="store_true", help="leave the quality out")
    arguments = parser.parse_args()
    embedder = open_embedder("use-multilingual")
    if arguments.hard:
        with tempfile.TemporaryDirectory() as folder:
            found = quality(embedder, hard_sets(Path(folder)), ("sentences",))
        write_results("retrieval-hard", found)
        print_tables(found)
        return
    results: dict[str, Any] = {}
    with contextlib.redirect_stdout(sys.stderr) if arguments.json else contextlib.nullcontext():
        if not arguments.speed_only:
            results |= quality(embedder, shipped_sets(), ("sentences", "likelihood"))
            write_results("retrieval", results)
        if not arguments.quality_only:
            fast = {
                "adding": measure_adding(embedder, rounds=1, files=ADDED_FILES),
                "question_embedding_p50_ms": embedding_speed(embedder),
                "speed": {str(size): speed(size, arguments.bases) for size in SIZES if size <= arguments.passages},
            }
            write_results("retrieval-speed", fast)
            results |= fast
    if arguments.json:
        print(json.dumps(results, indent=2, ensure_ascii=False))
    else:
        print_tables(results)


def quality(embedder: Embedder, sets: Sequence[QuestionSet], rerankers: Sequence[str]) -> dict[str, Any]:
    """For each way of searching the figures of each set and language, and of all sets; and what a search takes."""
    ranked: dict[str, dict[str, list[Ranked]]] = {}
    opened = {name: _reranker(name, embedder) for name in rerankers}
    for one in sets:
        with tempfile.TemporaryDirectory() as home:
            store = new_store(Path(home), embedder)
            add(store, embedder, [one.folder])
            reranked = {f"hybrid, by {name}": HybridRetriever(store, embedder, opened[name]) for name in rerankers}
            for way, retriever in {
                "hybrid": HybridRetriever(store, embedder),
                **reranked,
                "dense alone": HybridRetriever(store, embedder, coverage_weight=0.0),
                "lexical alone": HybridRetriever(store, embedder, dense_weight=0.0),
            }.items():
                retriever.prepare()
                ranked.setdefault(way, {})[one.name] = [_ranked(retriever, asked, one) for asked in one.questions]
            store.close()
    return {
        "quality": {way: _rows(found, with_sets=len(sets) <= FEW_SETS) for way, found in ranked.items()},
        "search_ms": {
            way: _quantiles([one.took_ms for some in found.values() for one in some]) for way, found in ranked.items()
        },
    }


def _rows(ranked: Mapping[str, Sequence[Ranked]], *, with_sets: bool) -> dict[str, dict[str, float]]:
    every = [one for found in ranked.values() for one in found]
    rows = {}
    for name, found in [*(ranked.items() if with_sets else ()), ("all", every)]:
        if name != "all":
            rows[name] = _figures(found)
        for group in sorted({one.group for one in found}):
            rows[f"{name} {group}"] = _figures([one for one in found if one.group == group])
    return rows


def _reranker(name: str, embedder: Embedder) -> Reranker | None:
    settings = load_settings()
    knowledge = settings.knowledge.model_copy(update={"reranker": name, "reranker_model": ""})
    return open_reranker(settings.model_copy(update={"knowledge": knowledge}), embedder)


def _quantiles(times_ms: Sequence[float]) -> dict[str, float]:
    return {
        "mean": round(statistics.mean(times_ms), 1),
        "p50": round(statistics.median(times_ms), 1),
        "p95": round(statistics.quantiles(times_ms, n=20)[-1], 1),
    }


def _ranked(retriever: HybridRetriever, asked: LabelledQuestion, pages: QuestionSet) -> Ranked:
    found: list[str] = []
    began_s = time.perf_counter()
    hits = retriever.search(asked.text, FOUND)
    took_ms = 1000 * (time.perf_counter() - began_s)
    for hit in hits:
        page = os.path.relpath(hit.passage.source, pages.folder)
        if page not in found:
            found.append(page)
    return Ranked(asked.group, found.index(asked.page) + 1 if asked.page in found else 0, took_ms)


def _figures(found: Sequence[Ranked]) -> dict[str, float]:
    return {
        "questions": len(found),
        "recall_at_1": round(sum(one.rank == 1 for one in found) / len(found), 3),
        "recall_at_5": round(sum(0 < one.rank <= 5 for one in found) / len(found), 3),
        "mrr": round(sum(1 / one.rank for one in found if one.rank) / len(found), 3),
    }


def new_store(folder: Path, embedder: Embedder) -> EmbeddedStore:
    """An empty store."""
    return EmbeddedStore(folder / "index.sqlite3", embedder.id, embedder.dimensions)


def add(store: Store, embedder: Embedder, folders: Sequence[Path]) -> int:
    """Add all documents; says how many passages there are."""
    ingest = Ingest(store, embedder, max_file_mb=20, passage_tokens=PASSAGE_TOKENS)
    ingest.add_all(files_below(folders))
    return sum(one.passages for one in store.bases())


def embedding_speed(embedder: Embedder) -> float:
    """The time for the vector of a question, which the searches below do not count."""
    times_ms = []
    for asked in shipped_sets()[0].questions:
        began_s = time.perf_counter()
        embedder.embed([asked.text])
        times_ms.append(1000 * (time.perf_counter() - began_s))
    return round(statistics.median(times_ms), 2)


def speed(size: int, kept: Path | None) -> dict[str, float]:
    """Figures of a base of this size; it is filled in one process and searched in another, as in life.

    `kept` is a folder in which a base that is there is searched, and one that is not is filled and left.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = kept or Path(folder)
        filled = place / f"{size}.json"
        if not filled.exists():
            filled.write_text(_speed_of("fill", place, size))
        return {**json.loads(filled.read_text()), **json.loads(_speed_of("search", place, size))}


def _speed_of(action: str, folder: Path, size: int) -> str:
    command = [sys.executable, "-m", "benchmarks.retrieval_speed", action, str(folder), str(size)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def print_tables(results: dict[str, Any]) -> None:
    """For people."""
    for way, rows in results.get("quality", {}).items():
        columns = ["set", *next(iter(rows.values()))]
        print_table(way, columns, [[name, *map(str, figures.values())] for name, figures in rows.items()])
    if "search_ms" in results:
        rows = [[way, *times.values()] for way, times in results["search_ms"].items()]
        print_table("a search, with the question's vector (ms)", ["", "mean", "p50", "p95"], rows)
    if "speed" in results:
        print(f"the vector of a question: p50 {results['question_embedding_p50_ms']} ms")
        columns = ["passages", *next(iter(results["speed"].values()))]
        rows = [[size, *map(str, figures.values())] for size, figures in results["speed"].items()]
        print_table("search, without the question's vector", columns, rows)


if __name__ == "__main__":
    main()
