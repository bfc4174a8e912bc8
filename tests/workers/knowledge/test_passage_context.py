"""The context of a passage, in its vector."""

from __future__ import annotations

import numpy as np
import pytest

from workers.knowledge.passage_context import CONTEXT_PASSAGES, CONTEXT_WEIGHT, in_context


def test_a_passage_leans_towards_those_around_it_and_no_others() -> None:
    """Each vector has a share of its near neighbours', nothing of those further away, and length 1."""
    vectors = np.eye(12, dtype=np.float32)
    mixed = in_context(vectors)
    assert np.linalg.norm(mixed, axis=1) == pytest.approx(np.ones(12))
    assert [bool(value) for value in mixed[6] > 0] == [abs(at - 6) <= CONTEXT_PASSAGES for at in range(12)]
    share = CONTEXT_WEIGHT / (2 * CONTEXT_PASSAGES + 1)
    assert mixed[6, 5] / mixed[6, 6] == pytest.approx(share / (1 + share))
    assert mixed[0, 1] > mixed[6, 5]  # at a document's end fewer share the same weight


def test_a_passage_alone_stays_as_it_is() -> None:
    """A document of one passage has no context; one without passages, and a vector of zeros, are no trouble."""
    one = np.array([[0.6, 0.8]], dtype=np.float32)
    assert in_context(one) == pytest.approx(one)
    assert in_context(one[:0]).shape == (0, 2)
    assert in_context(np.zeros((2, 2), np.float32)).tolist() == [[0, 0], [0, 0]]
