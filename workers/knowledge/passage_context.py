"""The context of a passage: what stands around it says what it is about, and so belongs into its vector.

A question often uses words of the page that are not in the passage which answers it. Measured on the shipped questions
(`python -m benchmarks.retrieval`), this found more than a vector of the page's title or of the passage alone.
"""

from __future__ import annotations

import numpy as np

from workers.knowledge.embedder import Vectors

CONTEXT_WEIGHT = 1.5
"""How much the mean of a passage and its neighbours counts against the passage itself."""
CONTEXT_PASSAGES = 3
"""How many passages before and after it are a passage's neighbours."""


def in_context(vectors: Vectors) -> Vectors:
    """The vectors of a document's passages, in order, each with those around it mixed in; of length 1 again."""
    count = len(vectors)
    if not count:
        return vectors
    sums = np.concatenate([np.zeros((1, vectors.shape[1]), np.float64), np.cumsum(vectors, axis=0, dtype=np.float64)])
    places = np.arange(count)
    first = np.maximum(places - CONTEXT_PASSAGES, 0)
    end = np.minimum(places + CONTEXT_PASSAGES + 1, count)
    means = (sums[end] - sums[first]) / (end - first)[:, None]
    mixed = vectors + CONTEXT_WEIGHT * means
    lengths = np.linalg.norm(mixed, axis=1, keepdims=True)
    unit: Vectors = np.divide(mixed, lengths, out=np.zeros_like(mixed), where=lengths > 0).astype(np.float32)
    return unit
