"""Any sentence-embedding model of transformers, in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workers.knowledge.embedder import Embedder, Vectors
from workers.knowledge.model_process import ModelProcess


class TransformersEmbedder(Embedder):
    """A model by its folder or its id of a hub. `threads` 0 leaves one core free."""

    def __init__(self, model: str, threads: int = 0) -> None:
        self._model = model
        self.process = ModelProcess(f"the embedder {model}", "sentence_embedder", model, threads)

    @property
    def id(self) -> str:
        """The model's name."""
        return f"transformers:{self._model}"

    @property
    def dimensions(self) -> int:
        """The size of the model's last layer; loads it. Raises KnowledgeError where that fails."""
        return int(self.process.about)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row for each text. Raises KnowledgeError where the process fails."""
        if not texts:
            return np.zeros((0, self.dimensions), np.float32)
        vectors: Vectors = self.process.ask("embed", list(texts))
        return vectors

    def embed_question(self, text: str) -> Vectors:
        """With the words before it that the model wants before a question, if any."""
        vector: Vectors = self.process.ask("embed_question", text)
        return vector

    def count_tokens(self, text: str) -> int:
        """By the model's tokenizer."""
        return int(self.process.ask("count_tokens", text))

    def close(self) -> None:
        """End the process."""
        self.process.close()
