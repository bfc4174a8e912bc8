"""A matrix: the vectors of a base in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from workers.knowledge.embedder import Vectors

STORED = np.dtype("<f2")
"""How a vector is written."""

Fetch = Callable[[Sequence[int]], dict[int, Vectors]]


class Matrix:
    """All vectors of a base at one version (rebuilds, generation), searched exactly; never changed once made.

    Row n belongs to the passage `ids[n]`; ids rise.
    """

    def __init__(self, version: tuple[int, int], ids: NDArray[np.int64], vectors: Vectors) -> None:
        self.version = version
        self._ids = ids
        self._vectors = vectors

    @classmethod
    def empty(cls, dimensions: int) -> Matrix:
        """Before anything was read."""
        return cls((-1, -1), np.zeros(0, np.int64), np.zeros((0, dimensions), np.float32))

    @property
    def size(self) -> int:
        """How many vectors there are."""
        return len(self._ids)

    @property
    def dimensions(self) -> int:
        """The numbers in a vector."""
        return int(self._vectors.shape[1])

    @property
    def last_id(self) -> int:
        """The highest id; 0 where there is none."""
        return int(self._ids[-1]) if len(self._ids) else 0

    def changed(
        self, version: tuple[int, int], there: NDArray[np.int64], parts: Iterable[tuple[list[int], Vectors]]
    ) -> Matrix:
        """Another matrix, of those of these vectors that are still there, and new ones with higher ids."""
        kept = np.isin(self._ids, there, assume_unique=True)
        ids, vectors = [self._ids[kept]], [self._vectors[kept]]
        for new_ids, new_vectors in parts:
            ids.append(np.array(new_ids, np.int64))
            vectors.append(new_vectors)
        return Matrix(version, np.concatenate(ids), np.concatenate(vectors))

    def nearest(self, vector: Vectors, limit: int, fetch: Fetch) -> list[tuple[int, float]]:
        """The passages with the highest cosines, the highest first."""
        del fetch
        similarities = self._vectors @ vector
        rows = best_rows(similarities, limit)
        return [(int(self._ids[row]), float(similarities[row])) for row in rows]


def best_rows(values: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """The rows of the highest values, the highest first."""
    rows = np.arange(len(values))
    if count < len(values):
        rows = np.argpartition(-values, count)[:count]
    return rows[np.argsort(-values[rows], kind="stable")]
