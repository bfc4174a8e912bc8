"""``python -m benchmarks.ingest``: how fast documents come in, and what an unchanged folder costs.

Adding is compared with the embedder alone, in the same run and on the same passages: it embeds them from as many
threads as there are cores, with nothing to read, parse, cut or write. Rounds of both take turns, and the ratio is taken
round by round, because the machine is others' too; what others do does not change the ratio of the processor time that
both took, those of the parsing processes counted. Then as many small files are synced, and synced again unchanged.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psutil

from benchmarks.report import print_table, write_results
from config.environment import CHECKOUT
from config.loading import load_settings
from tests.workers.knowledge.base import files_below
from workers.knowledge.base import DEFAULT_BASE
from workers.knowledge.document_maker import embedded_text
from workers.knowledge.draft import Draft
from workers.knowledge.embedder import Embedder, open_embedder
from workers.knowledge.ingest import FileStatus, Ingest
from workers.knowledge.parsing import ParsingLimits, ParsingPool
from workers.knowledge.source import named_source, source_files
from workers.knowledge.store import Store
from workers.knowledge.stores.embedded import EmbeddedStore

EXAMPLES = CHECKOUT / "examples"
RETRIEVAL = CHECKOUT / "tests" / "data" / "retrieval"
GOOD = CHECKOUT / "tests" / "data" / "documents" / "good"
_SMALL_WORDS = 60


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of adding; 0: only sync")
    parser.add_argument("--files", type=int, default=10_000, help="about as many to add, and to sync")
    parser.add_argument("--adding-only", action="store_true", help="leave the syncing out")
    asked = parser.parse_args()
    embedder = open_embedder(load_settings().knowledge.embedder)
    embedder.embed(["ready"])
    if asked.rounds:
        write_results("ingest", {"embedder": embedder.id, **measure_adding(embedder, asked.rounds, asked.files)})
    if not asked.adding_only:
        with tempfile.TemporaryDirectory() as folder:
            write_results("sync", {"embedder": embedder.id, **_syncing(Path(folder), embedder, asked.files)})


def measure_adding(embedder: Embedder, rounds: int, files: int) -> dict[str, float]:
    """Passages a second by ingest and by the embedder alone, of about so many documents; prints a table."""
    with tempfile.TemporaryDirectory() as folder:
        return _adding(Path(folder), embedder, rounds, files)


def _adding(folder: Path, embedder: Embedder, rounds: int, files: int) -> dict[str, float]:
    docs = folder / "mixed"
    _copy_examples(docs, files)
    cores = len(os.sched_getaffinity(0))
    ratios, cpu_ratios, added, alone, busy = [], [], [], [], []
    for number in range(rounds):
        store = EmbeddedStore(folder / f"adding{number}" / "index.sqlite3", embedder.id, embedder.dimensions)
        psutil.cpu_percent()
        begun_s, cpu_s = time.perf_counter(), _cpu_s()
        _sync(store, embedder, docs)
        took_s, took_cpu_s = time.perf_counter() - begun_s, _cpu_s() - cpu_s
        busy.append(psutil.cpu_percent())
        texts = _texts(store)
        begun_s, cpu_s = time.perf_counter(), _cpu_s()
        _embed_on_all_cores(embedder, texts, cores)
        alone_s, alone_cpu_s = time.perf_counter() - begun_s, _cpu_s() - cpu_s
        added.append(sum(map(len, texts)) / took_s)
        alone.append(sum(map(len, texts)) / alone_s)
        ratios.append(alone_s / took_s)
        cpu_ratios.append(alone_cpu_s / took_cpu_s)
        store.close()
    found = {
        "documents": float(len(files_below([docs]))),
        "passages": float(sum(map(len, texts))),
        "cores": float(cores),
        "cores_busy_percent": statistics.median(busy),
        "ingest_passages_a_second": statistics.median(added),
        "embedder_passages_a_second": statistics.median(alone),
        "ingest_against_embedder": statistics.median(ratios),
        "ingest_against_embedder_by_cpu_time": statistics.median(cpu_ratios),
    }
    print_table(
        f"Adding {found['documents']:.0f} documents of all formats ({found['passages']:.0f} passages), {cores} cores",
        ["", "passages/s", "of the embedder", "by processor time"],
        [
            ["embedder alone", found["embedder_passages_a_second"], "1.00", "1.00"],
            [
                "ingest: parse, cut, embed, index",
                found["ingest_passages_a_second"],
                f"{statistics.median(ratios):.2f}",
                f"{statistics.median(cpu_ratios):.2f}",
            ],
        ],
    )
    print(f"cores busy while adding: {found['cores_busy_percent']:.0f} %")
    print(f"each round: {_rounded(ratios)}, by processor time {_rounded(cpu_ratios)}")
    return found


def _syncing(folder: Path, embedder: Embedder, files: int) -> dict[str, float]:
    """A folder of small files: the first sync, a second one of nothing new, and one with 1 % changed."""
    docs = folder / "many"
    _write_many(docs, files)
    time.sleep(2.5)  # a file as fresh as that is hashed again, which belongs to the first sync of a folder alone
    store = EmbeddedStore(folder / "syncing" / "index.sqlite3", embedder.id, embedder.dimensions)
    rows, found = [], {"files": float(files)}
    for name in ("first", "unchanged", "one_percent_changed"):
        if name == "one_percent_changed":
            for path in sorted(docs.rglob("*.md"))[::100]:
                path.write_text(f"{path.read_text()}\nChanged.\n")
        begun_s = time.perf_counter()
        counts = _sync(store, embedder, docs)
        found[f"{name}_s"] = time.perf_counter() - begun_s
        told = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        rows.append([name.replace("_", " "), f"{found[f'{name}_s']:.2f}", told])
    store.close()
    print_table(f"Syncing {files} files of {_SMALL_WORDS} words", ["sync", "seconds", "files"], rows)
    return found


def _sync(store: Store, embedder: Embedder, docs: Path) -> Counter[FileStatus]:
    """As `fennel kb sync` does it."""
    knowledge = load_settings().knowledge
    source = named_source(DEFAULT_BASE, str(docs), "", "")
    files = source_files(source, docs, Counter())
    limits = ParsingLimits(knowledge.max_file_mb, knowledge.parse_memory_mb, knowledge.parse_timeout_s)
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Draft(Path(folder, "draft.sqlite3"))) as draft,
        ParsingPool(limits, {file.path.name for file in files}) as pool,
    ):
        ingest = Ingest(
            store,
            embedder,
            max_file_mb=knowledge.max_file_mb,
            passage_tokens=knowledge.passage_tokens,
            parse_file=pool.parse,
            draft=draft,
        )
        results = ingest.add_all(files, remove_others_below=source.identity)
    return Counter(result.status for result in results)


def _texts(store: Store) -> list[list[str]]:
    """What was embedded, document by document, as ingest gave it to the embedder."""
    return [
        [embedded_text(passage) for passage in store.passages_of(DEFAULT_BASE, one.identity)]
        for one in store.documents(DEFAULT_BASE)
    ]


def _embed_on_all_cores(embedder: Embedder, texts: Sequence[Sequence[str]], cores: int) -> None:
    batches = [document[at : at + 16] for document in texts for at in range(0, len(document), 16)]
    with ThreadPoolExecutor(cores) as executor:
        for _ in executor.map(embedder.embed, batches):
            pass


def _cpu_s() -> float:
    """Processor time of this process and of its children that have ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _rounded(ratios: Sequence[float]) -> list[float]:
    return [round(one, 2) for one in ratios]


def _copy_examples(docs: Path, files: int) -> None:
    """The written documents in both languages again and again under other names, and one of each format."""
    originals = [path for folder in (EXAMPLES, RETRIEVAL) for path in folder.rglob("*.md")]
    copies = range(max(1, files // len(originals)))
    for number, original in [(number, one) for number in copies for one in originals]:
        place = docs / str(number) / original.parent.parent.name / original.parent.name / original.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(original, place)
    shutil.copytree(GOOD, docs / GOOD.name)


def _write_many(docs: Path, files: int) -> None:
    chance = random.Random(7)
    text = (EXAMPLES / "handbook" / "en" / "vpn.md").read_text()
    words = [word for word in text.split() if word.isalnum()]
    for number in range(files):
        path = docs / f"{number % 100:02}" / f"page{number}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# Page {number}\n\n{' '.join(chance.choices(words, k=_SMALL_WORDS))}\n")


if __name__ == "__main__":
    main()
