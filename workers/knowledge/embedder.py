"""An embedder: turns texts into vectors whose dot product says how near they are in meaning.

The implementations stand in `workers/knowledge/embedders/`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


class Embedder(ABC):
    """Turns texts into unit vectors. May be called from many threads at once; loads its weights when first used."""

    @property
    @abstractmethod
    def id(self) -> str:
        """Names the weights; an index holds vectors of one embedder alone."""

    @property
    @abstractmethod
    def dimensions(self) -> int:
        """The numbers in a vector."""

    @abstractmethod
    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row for each text, of length 1."""

    def embed_question(self, text: str) -> Vectors:
        """The vector of a question: as a document's, unless the model has another way for it."""
        row: Vectors = self.embed([text])[0]
        return row

    @abstractmethod
    def count_tokens(self, text: str) -> int:
        """The length of a text in the tokens of this embedder, without the marks of begin and end."""


def open_embedder(name: str) -> Embedder:
    """The embedder of the setting knowledge.embedder; its module is imported now, its weights later.

    A name that no bundled embedder has is that of a model of transformers.
    """
    if name == "use-multilingual":
        from workers.knowledge.embedders.use_multilingual import UseMultilingual

        return UseMultilingual()
    from workers.knowledge.embedders.transformers_model import TransformersEmbedder

    return TransformersEmbedder(name)
