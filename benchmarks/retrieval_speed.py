"""How fast a base of some size is searched, and what it costs a worker in memory: one process for one size.

The passages are made up: words by Zipf's law, and vectors around many centres with a spectrum that falls off, as those
of sentences do. The question's vector is given, so that the search alone is measured.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import psutil

from workers.knowledge.base import DEFAULT_BASE
from workers.knowledge.embedder import Embedder, Vectors
from workers.knowledge.passage import Passage
from workers.knowledge.retrievers.hybrid import HybridRetriever
from workers.knowledge.store import NewDocument
from workers.knowledge.stores.embedded import EmbeddedStore

DIMENSIONS = 512
VOCABULARY = 200_000
WORDS = 80  # in a passage
PASSAGES = 20  # in a document
CENTRES = 2000
QUESTIONS = 60
QUESTION_WORDS = 8
RECALL_QUESTIONS = 20
FOUND = 10


class GivenVectors(Embedder):
    """Gives the vectors of made-up questions, by their number."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors
        self.next = 0

    @property
    def id(self) -> str:
        """A name of its own."""
        return "made-up"

    @property
    def dimensions(self) -> int:
        """As many as the bundled embedder's."""
        return DIMENSIONS

    def embed(self, texts: Sequence[str]) -> Vectors:
        """The next question's vector."""
        return self.vectors[[self.next]]

    def count_tokens(self, text: str) -> int:
        """Words."""
        return len(text.split())


class MadeUp:
    """Passages and questions, the same ones each time."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(1)
        self.spectrum = (np.arange(1, DIMENSIONS + 1) ** -0.5).astype(np.float32)
        self.centres = self.random.standard_normal((CENTRES, DIMENSIONS), dtype=np.float32) * self.spectrum
        self.side = self.random.standard_normal(DIMENSIONS).astype(np.float32) * self.spectrum * 0.7
        shares = 1.0 / np.arange(1, VOCABULARY + 1)
        self.cumulated = np.cumsum(shares / shares.sum())

    def vectors(self, count: int) -> Vectors:
        """Unit vectors."""
        noise = self.random.standard_normal((count, DIMENSIONS), dtype=np.float32) * self.spectrum
        vectors = self.centres[self.random.integers(0, CENTRES, count)] + 0.8 * noise + self.side
        unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit

    def words(self, count: int) -> list[str]:
        """Words, common ones often."""
        return [f"word{rank}" for rank in np.searchsorted(self.cumulated, self.random.random(count))]

    def documents(self, passages: int) -> Iterator[NewDocument]:
        """Documents with this many passages together."""
        for at in range(passages // PASSAGES):
            said = [self.words(WORDS) for _ in range(PASSAGES)]
            name = f"{at}.md"
            parts = [Passage(0, name, f"Page {at}", (), "en", " ".join(words)) for words in said]
            yield NewDocument(name, name, f"Page {at}", "en", "1", parts, said, self.vectors(PASSAGES))


def main() -> None:
    """Fill a store in this folder with that many passages, or search the one that is there; prints JSON."""
    action, folder, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    made_up = MadeUp()
    with tempfile.TemporaryDirectory(dir=folder):
        store = EmbeddedStore(folder / f"{count}.sqlite3", "made-up", DIMENSIONS)
        figures = fill(store, made_up, count) if action == "fill" else search(store, made_up, folder)
        store.close()
    print(json.dumps(figures))


def fill(store: EmbeddedStore, made_up: MadeUp, count: int) -> dict[str, float]:
    """Add all passages in one step."""
    began_s = time.perf_counter()
    store.apply(DEFAULT_BASE, made_up.documents(count))
    return {"fill_s": round(time.perf_counter() - began_s, 1), "file_mb": round(store.path.stat().st_size / 1e6)}


def search(store: EmbeddedStore, made_up: MadeUp, folder: Path) -> dict[str, float]:
    """Time searches after the first one, which reads the vectors; and compare with an exact search."""
    made_up.random = np.random.default_rng(2)
    embedder = GivenVectors(made_up.vectors(QUESTIONS))
    questions = [" ".join(made_up.words(QUESTION_WORDS)) for _ in range(QUESTIONS)]
    retriever = HybridRetriever(store, embedder)
    process = psutil.Process()
    before = process.memory_info().rss
    began_s = time.perf_counter()
    retriever.search(questions[0], FOUND)
    first_s = time.perf_counter() - began_s
    times_ms, cpu_ms, dense_ms = [], [], []
    for number, question in enumerate(questions):
        embedder.next = number
        began_s, cpu_began_s = time.perf_counter(), time.process_time()
        retriever.search(question, FOUND)
        times_ms.append(1000 * (time.perf_counter() - began_s))
        cpu_ms.append(1000 * (time.process_time() - cpu_began_s))
        with store.snapshot([DEFAULT_BASE]) as snapshot:
            began_s = time.perf_counter()
            snapshot.nearest(embedder.vectors[number], FOUND)
            dense_ms.append(1000 * (time.perf_counter() - began_s))
    grown = process.memory_info().rss - before
    return {
        "search_p50_ms": round(statistics.median(times_ms), 2),
        "search_p95_ms": round(statistics.quantiles(times_ms, n=20)[-1], 2),
        "cpu_p50_ms": round(statistics.median(cpu_ms), 2),
        "dense_p50_ms": round(statistics.median(dense_ms), 2),
        "first_search_s": round(first_s, 2),
        "grown_mb": round(grown / 1e6),
        "recall_at_10_of_exact": round(_recall(store, embedder.vectors[:RECALL_QUESTIONS]), 4),
    }


def _recall(store: EmbeddedStore, vectors: Vectors) -> float:
    """The share of the ten nearest of an exact search over the file that the store finds."""
    best: list[list[tuple[float, int]]] = [[] for _ in vectors]
    with store.snapshot([DEFAULT_BASE]) as snapshot:
        near = [{one for one, _ in snapshot.nearest(vector, FOUND)} for vector in vectors]
        for start in range(1, snapshot.size + 1, 10_000):
            some = snapshot.vectors(range(start, start + 10_000))
            ids, rows = list(some), np.stack(list(some.values()))
            for number, products in enumerate(vectors @ rows.T):
                top = np.argpartition(-products, FOUND)[:FOUND]
                best[number] = sorted(best[number] + [(-float(products[at]), ids[at]) for at in top])[:FOUND]
    right = sum(len(found & {one for _, one in exact}) for found, exact in zip(near, best, strict=True))
    return right / (FOUND * len(vectors))


if __name__ == "__main__":
    main()
