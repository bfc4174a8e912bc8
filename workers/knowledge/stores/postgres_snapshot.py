"""A snapshot of the store on PostgreSQL: a read transaction that sees one state of some bases."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from psycopg import Connection

from workers.knowledge.embedder import Vectors
from workers.knowledge.passage import Passage
from workers.knowledge.store import Snapshot
from workers.knowledge.stores.postgres_schema import READ_PASSAGES


class PostgresSnapshot(Snapshot):
    """Some bases in one transaction."""

    def __init__(self, db: Connection[Any], numbers: Sequence[int]) -> None:
        self._db = db
        self._numbers = list(numbers)
        self._size: int | None = None

    @property
    def size(self) -> int:
        """How many passages there are; counted once."""
        if self._size is None:
            counted = self._rows("SELECT coalesce(sum(passages), 0) FROM fennel.documents WHERE base = ANY(%s)")
            self._size = int(counted[0][0])
        return self._size

    def nearest(self, vector: Vectors, limit: int) -> list[tuple[int, float]]:
        """The passages with the highest cosines: the vectors have length 1, so these are their products."""
        found = self._rows(
            "SELECT id, -(vector <#> %s::vector) FROM fennel.passages WHERE base = ANY(%s) "
            "ORDER BY vector <#> %s::vector, id LIMIT %s",
            vector_text(vector),
            after=(vector_text(vector), limit),
        )
        return [(int(one), float(value)) for one, value in found]

    def vectors(self, ids: Sequence[int]) -> dict[int, Vectors]:
        """The vectors of these passages."""
        found = self._rows(
            "SELECT id, vector::real[] FROM fennel.passages WHERE base = ANY(%s) AND id = ANY(%s)", after=(list(ids),)
        )
        return {one: np.array(values, np.float32) for one, values in found}

    def with_words(self, weights: dict[str, float], limit: int) -> list[int]:
        """The passages with the greatest sum of weights."""
        if not weights:
            return []
        words = list(weights)
        found = self._rows(
            "SELECT p.id, (SELECT sum(w.weight) FROM unnest(%s::text[], %s::float8[]) AS w (word, weight) "
            "WHERE w.word = ANY(p.words)) AS score FROM fennel.passages p "
            "WHERE p.base = ANY(%s) AND p.words && %s::text[] ORDER BY score DESC, cardinality(p.words), p.id LIMIT %s",
            words,
            list(weights.values()),
            after=(words, limit),
        )
        return [int(row[0]) for row in found]

    def frequencies(self, words: Sequence[str]) -> dict[str, int]:
        """In how many passages each of the words stands."""
        found = self._rows(
            "SELECT word, sum(passages) FROM fennel.frequencies WHERE base = ANY(%s) AND word = ANY(%s) GROUP BY word",
            after=(list(words),),
        )
        return {**dict.fromkeys(words, 0), **{word: int(count) for word, count in found}}

    def words_of(self, ids: Sequence[int]) -> dict[int, list[str]]:
        """The words of each of the passages."""
        return dict(
            self._rows(
                "SELECT id, words FROM fennel.passages WHERE base = ANY(%s) AND id = ANY(%s)", after=(list(ids),)
            )
        )

    def passages(self, ids: Sequence[int]) -> dict[int, Passage]:
        """The passages with these ids."""
        return {row[0]: passage_of(row) for row in self._read(ids)}

    def _read(self, ids: Sequence[int]) -> list[Any]:
        return self._rows(READ_PASSAGES + "WHERE p.base = ANY(%s) AND p.id = ANY(%s)", after=(list(ids),))

    def _rows(self, query: str, *before: object, after: Sequence[object] = ()) -> list[Any]:
        """What the query gives; its parameters are `before`, the bases, and `after`."""
        return self._db.execute(query, (*before, self._numbers, *after)).fetchall()


def vector_text(vector: Vectors) -> str:
    """A vector as pgvector reads it."""
    return "[" + ",".join(map(repr, vector.tolist())) + "]"


def passage_of(row: Any) -> Passage:
    """The passage of a row of READ_PASSAGES."""
    number, source, title, heading, language, text, page, url, _ = row
    return Passage(
        number, source, title, tuple(json.loads(heading)), "zh" if language == "zh" else "en", text, page, url
    )
