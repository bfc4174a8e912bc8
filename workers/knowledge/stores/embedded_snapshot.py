"""A snapshot of the embedded store: a read transaction, and the vectors that belong to what it sees."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from workers.knowledge.embedder import Vectors
from workers.knowledge.passage import Passage
from workers.knowledge.store import Snapshot
from workers.knowledge.stores.matrix import STORED, Matrix

_PASSAGE = (
    "SELECT p.id, d.source, d.title, p.heading, p.language, p.text, p.page, p.url, p.document "
    "FROM passages_{base} p JOIN documents d ON d.id = p.document "
)


@dataclass(frozen=True, slots=True)
class BaseView:
    """One base in a snapshot."""

    number: int
    matrix: Matrix


class EmbeddedSnapshot(Snapshot):
    """Some bases in one read transaction."""

    def __init__(self, db: sqlite3.Connection, views: Sequence[BaseView]) -> None:
        self._db = db
        self._views = views

    @property
    def size(self) -> int:
        """How many passages there are."""
        return sum(view.matrix.size for view in self._views)

    def nearest(self, vector: Vectors, limit: int) -> list[tuple[int, float]]:
        """The passages with the highest cosines."""
        found = [pair for view in self._views for pair in view.matrix.nearest(vector, limit, self.vectors)]
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))[:limit]

    def vectors(self, ids: Sequence[int]) -> dict[int, Vectors]:
        """The vectors of these passages."""
        found = self._rows("SELECT id, vector FROM vectors_{base} WHERE id", ids)
        return {one: np.frombuffer(blob, STORED).astype(np.float32) for one, blob in found}

    def with_words(self, weights: dict[str, float], limit: int) -> list[int]:
        """The passages with the highest BM25."""
        if not weights:
            return []
        wanted = " OR ".join(f'"{word.replace(chr(34), "")}"' for word in weights)
        found: list[tuple[float, int]] = []
        for view in self._views:
            table = f"words_{view.number}"
            found += self._db.execute(
                f"SELECT rank, rowid FROM {table} WHERE {table} MATCH ? ORDER BY rank LIMIT ?",  # noqa: S608
                (wanted, limit),
            )
        return [int(one) for _, one in sorted(found)[:limit]]

    def frequencies(self, words: Sequence[str]) -> dict[str, int]:
        """In how many passages each of the words stands."""
        counts = Counter(dict.fromkeys(words, 0))
        for view in self._views:
            for word in words:
                row = self._db.execute(
                    f"SELECT passages FROM frequencies_{view.number} WHERE word = ?",  # noqa: S608
                    (word,),
                ).fetchone()
                counts[word] += row[0] if row else 0
        return dict(counts)

    def words_of(self, ids: Sequence[int]) -> dict[int, list[str]]:
        """The words of each of the passages."""
        return {
            one: text.split(" ") for one, text in self._rows("SELECT rowid, text FROM words_{base} WHERE rowid", ids)
        }

    def passages(self, ids: Sequence[int]) -> dict[int, Passage]:
        """The passages with these ids."""
        return {row[0]: _passage(row) for row in self._rows(_PASSAGE + "WHERE p.id", ids)}

    def _rows(self, query: str, ids: Sequence[int]) -> Iterator[Any]:
        """What the query gives for these ids in each base; it ends with the column that holds them."""
        marks = ", ".join("?" * len(ids))
        for view in self._views:
            yield from self._db.execute(f"{query.format(base=view.number)} IN ({marks})", ids)


def read_passages(db: sqlite3.Connection, number: int) -> Iterator[list[Passage]]:
    """Every passage that a base has now, a document at a time."""
    end = db.execute(f"SELECT coalesce(max(id), 0) FROM passages_{number}").fetchone()[0]  # noqa: S608
    rows = db.execute(f"{_PASSAGE.format(base=number)} WHERE p.id <= ? ORDER BY p.id", (end,))
    for _, document in groupby(rows, key=lambda row: row[-1]):
        yield [_passage(row) for row in document]


def read_document(db: sqlite3.Connection, number: int, identity: str) -> list[Passage]:
    """The passages of one document of a base."""
    found = db.execute("SELECT id FROM documents WHERE base = ? AND identity = ?", (number, identity)).fetchone()
    rows = db.execute(f"{_PASSAGE.format(base=number)} WHERE p.document = ? ORDER BY p.id", found or (0,))
    return [_passage(row) for row in rows]


def _passage(row: tuple[int, str, str, str, str, str, int, str, int]) -> Passage:
    number, source, title, heading, language, text, page, url, _ = row
    return Passage(
        number, source, title, tuple(json.loads(heading)), "zh" if language == "zh" else "en", text, page, url
    )
