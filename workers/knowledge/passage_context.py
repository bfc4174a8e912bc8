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
    sums, near = vectors.copy(), np.ones((count, 1), np.float32)
    for away in range(1, min(CONTEXT_PASSAGES, count - 1) + 1):
        sums[away:] += vectors[:-away]
        sums[:-away] += vectors[away:]
        near[away:] += 1
        near[:-away] += 1
    mixed = vectors + CONTEXT_WEIGHT * sums / near
    lengths = np.linalg.norm(mixed, axis=1, keepdims=True)
    unit: Vectors = np.divide(mixed, lengths, out=np.zeros_like(mixed), where=lengths > 0).astype(np.float32)
    return unit
