"""The matrix: exact where it is small, and nearly so where it is large."""

from __future__ import annotations

import numpy as np
import pytest

from workers.knowledge.embedder import Vectors
from workers.knowledge.stores.matrix import Matrix

DIMENSIONS = 100  # not a multiple of 64
COUNT = 3000


def clustered(count: int, seed: int) -> Vectors:
    """Unit vectors around some centres, all on one side of the space, as those of sentences are."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(7).standard_normal((60, DIMENSIONS))
    vectors = centres[random.integers(0, 60, count)] + 0.8 * random.standard_normal((count, DIMENSIONS)) + 0.5
    unit: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def filled(exact_up_to: int, vectors: Vectors) -> Matrix:
    """A matrix of these vectors, which came in three changes; their ids begin at 1."""
    matrix = Matrix((-1, -1), DIMENSIONS, exact_up_to)
    for generation, end in enumerate((10, 1500, len(vectors))):
        start = matrix.last_id
        part = (list(range(start + 1, end + 1)), vectors[start:end])
        matrix = matrix.changed((0, generation), np.arange(1, start + 1), [part])
    return matrix


@pytest.mark.parametrize("exact_up_to", [10_000, 1000, 0])
def test_sketches_find_what_an_exact_search_finds(exact_up_to: int) -> None:
    """Of the ten nearest, 98 in 100 are found, with their exact cosines, however the matrix came to be."""
    vectors = clustered(COUNT, 1)
    matrix = filled(exact_up_to, vectors)
    assert matrix.size == COUNT
    found = right = 0
    for question in clustered(30, 2):
        cosines = vectors @ question
        best = set((np.argsort(-cosines)[:10] + 1).tolist())
        near = matrix.nearest(question, 10, lambda ids: {one: vectors[one - 1] for one in ids})
        assert [value for _, value in near] == sorted((value for _, value in near), reverse=True)
        assert all(value == pytest.approx(cosines[one - 1], abs=1e-6) for one, value in near)
        found += len(near)
        right += len(best & {one for one, _ in near})
    assert found == 300
    assert right >= 294


def test_what_went_is_not_found() -> None:
    """After a change only what is still there is found, and nothing shifts."""
    vectors = clustered(COUNT, 1)
    for exact_up_to in (10_000, 0):
        matrix = filled(exact_up_to, vectors).changed((0, 9), np.arange(2, COUNT + 1, 2), [])
        assert matrix.size == COUNT // 2
        for one in (2, 1000, COUNT):
            near = matrix.nearest(vectors[one - 1], 5, lambda ids: {row: vectors[row - 1] for row in ids})
            assert near[0][0] == one
            assert all(found % 2 == 0 for found, _ in near)
