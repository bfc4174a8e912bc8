"""Measuring: what the gate sees of many questions, for learning and judging."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.gate import COMPARED_HITS
from workers.gates.features import NAMES, features
from workers.gates.wording import Numbers
from workers.knowledge.base import DEFAULT_BASE
from workers.knowledge.embedder import Embedder
from workers.knowledge.retriever import Retriever

Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Measured:
    """Questions with what the gate sees of them: a row each. `found`: whether a search found anything."""

    texts: tuple[str, ...]
    features: Numbers
    vectors: Numbers
    found: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.texts)

    def at(self, places: Places) -> Measured:
        """Some of them."""
        texts = tuple(self.texts[at] for at in places)
        return Measured(texts, self.features[places], self.vectors[places], self.found[places])

    def column(self, name: str) -> Numbers:
        """One feature of all of them."""
        values: Numbers = self.features[:, NAMES.index(name)]
        return values

    @classmethod
    def together(cls, parts: Sequence[Measured]) -> Measured:
        """Several, one after another."""
        return cls(
            tuple(text for part in parts for text in part.texts),
            np.vstack([part.features for part in parts]),
            np.vstack([part.vectors for part in parts]),
            np.concatenate([part.found for part in parts]),
        )


def measure(
    texts: Sequence[str],
    retriever: Retriever,
    wording_embedder: Embedder,
    bases: Collection[str] = (DEFAULT_BASE,),
    advance: Callable[[], None] = lambda: None,
) -> Measured:
    """Search for each question; `advance` is called after each. Raises KnowledgeError where that cannot be done."""
    seen = np.zeros((len(texts), len(NAMES)))
    found = np.zeros(len(texts), bool)
    vectors = np.zeros((len(texts), wording_embedder.dimensions))
    for at, text in enumerate(texts):
        vectors[at] = wording_embedder.embed([text])[0]
        if hits := retriever.search(text, COMPARED_HITS, bases):
            seen[at], found[at] = features(text, hits), True
        advance()
    return Measured(tuple(texts), seen, vectors, found)
