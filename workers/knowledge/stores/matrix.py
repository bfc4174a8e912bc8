"""A matrix: what a reading process keeps of a base's vectors in memory.

Up to some size these are the vectors, searched exactly. Beyond it they are sketches: one bit for each number, whether
it is above the mean. The passages whose sketches differ least from the question's are looked at with their vectors
from the file, so that an answer's cosines are exact and only which passages are looked at is an estimate. A sketch
takes a thirty-second of the memory, needs no building, and follows every change: docs/adr/0008.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from workers.knowledge.embedder import Vectors

STORED = np.dtype("<f2")
"""How a vector is written."""
EXACT_UP_TO = 20_000
"""Vectors kept as they are."""
_LOOKED_AT = 400  # passages whose vectors are fetched, about 8 µs each; at least _LOOKED_AT_TIMES as many as wanted
_LOOKED_AT_TIMES = 8
_LOOKED_AT_SHARE = 1 / 600  # of all: the more there are, the more differ as little as the nearest
_AT_ONCE = 32_768  # sketches compared at once: what stays in a core's cache
_BITS = 64

Fetch = Callable[[Sequence[int]], dict[int, Vectors]]
Sketches = NDArray[np.uint64]


class Matrix:
    """The vectors of a base at one version (rebuilds, generation); never changed once made. Ids rise."""

    def __init__(self, version: tuple[int, int], dimensions: int, exact_up_to: int = EXACT_UP_TO) -> None:
        self.version = version
        self.dimensions = dimensions
        self._exact_up_to = exact_up_to
        self._ids = np.zeros(0, np.int64)
        self._vectors: Vectors | None = np.zeros((0, dimensions), np.float32)
        self._centre: Vectors | None = None
        # One row for each 64 bits, one column for each passage.
        self._sketches: Sketches = np.zeros((-(-dimensions // _BITS), 0), np.uint64)

    @property
    def size(self) -> int:
        """How many vectors there are."""
        return len(self._ids)

    @property
    def last_id(self) -> int:
        """The highest id; 0 where there is none."""
        return int(self._ids[-1]) if len(self._ids) else 0

    def changed(
        self, version: tuple[int, int], there: NDArray[np.int64], parts: Iterable[tuple[list[int], Vectors]]
    ) -> Matrix:
        """Another matrix, of those of these vectors that are still there, and new ones with higher ids."""
        made = Matrix(version, self.dimensions, self._exact_up_to)
        kept = np.isin(self._ids, there, assume_unique=True)
        ids = [self._ids[kept]]
        vectors = [] if self._vectors is None else [self._vectors[kept]]
        sketches = [self._sketches[:, kept]] if self._vectors is None else []
        made._centre = self._centre
        count = len(ids[0])
        for new_ids, new_vectors in parts:
            ids.append(np.array(new_ids, np.int64))
            count += len(new_ids)
            if made._centre is None:
                vectors.append(new_vectors)
                if count <= self._exact_up_to:
                    continue
                new_vectors = np.concatenate(vectors)
                made._centre = new_vectors.mean(axis=0)
                vectors.clear()
            sketches.append(_sketches(new_vectors, made._centre))
        made._ids = np.concatenate(ids)
        if made._centre is None:
            made._vectors = np.concatenate(vectors)
        else:
            made._vectors = None
            made._sketches = np.concatenate(sketches, axis=1)
        return made

    def nearest(self, vector: Vectors, limit: int, fetch: Fetch) -> list[tuple[int, float]]:
        """The passages with the highest cosines, the highest first; `fetch` gives the vectors of passages."""
        if self._vectors is not None:
            # Not a matrix product: that one takes all cores, which are the model's, and waits for each of them.
            rows, ids, similarities = np.arange(self.size), self._ids, np.vecdot(self._vectors, vector)
        else:
            count = max(_LOOKED_AT, _LOOKED_AT_TIMES * limit, int(_LOOKED_AT_SHARE * self.size))
            looked_at = self._ids[self._likely(vector, count)]
            found = fetch([int(one) for one in looked_at])
            ids = np.array(list(found), np.int64)
            similarities = np.vecdot(np.stack(list(found.values())), vector) if found else np.zeros(0, np.float32)
            rows = np.arange(len(ids))
        if limit < len(rows):
            rows = np.argpartition(-similarities, limit)[:limit]
        rows = rows[np.lexsort((ids[rows], -similarities[rows]))]
        return [(int(ids[row]), float(similarities[row])) for row in rows]

    def _likely(self, vector: Vectors, count: int) -> NDArray[np.intp]:
        """The rows whose sketches differ least from the vector's."""
        assert self._centre is not None  # noqa: S101 -- there are sketches only with it
        wanted = _sketches(vector[None], self._centre)[:, 0]
        distances = np.zeros(self.size, np.uint16)
        different = np.empty(_AT_ONCE, np.uint64)
        bits = np.empty(_AT_ONCE, np.uint8)
        for start in range(0, self.size, _AT_ONCE):
            some = distances[start : start + _AT_ONCE]
            for row, word in zip(self._sketches, wanted, strict=True):
                np.bitwise_xor(row[start : start + _AT_ONCE], word, out=different[: len(some)])
                np.bitwise_count(different[: len(some)], out=bits[: len(some)])
                np.add(some, bits[: len(some)], out=some)
        if count >= self.size:
            return np.arange(self.size)
        return np.argpartition(distances, count)[:count]


def _sketches(vectors: Vectors, centre: Vectors) -> Sketches:
    bits = np.packbits(vectors > centre, axis=1)
    padded = np.pad(bits, ((0, 0), (0, -bits.shape[1] % (_BITS // 8))))
    return np.ascontiguousarray(padded.view(np.uint64).T)
