"""A sentence-embedding model of transformers, in a process of its own: torch is imported here for the first time.

How a model's vectors are taken (which tokens, layers behind them, words that stand before a question) is the model's
own word in its files, which sentence-transformers reads; a model without them gives the mean of its last layer.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from multiprocessing.connection import Connection

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from workers.engine.local.serving import Actions, serve_actions

_MAX_TOKENS = 512
_BATCH = 16

Rows = NDArray[np.float32]


class SentenceEmbedder:
    """One vector of length 1 for a text."""

    def __init__(self, model: str, threads: int) -> None:
        torch.set_num_threads(threads or max(1, (os.cpu_count() or 2) - 1))
        self._model = SentenceTransformer(model, device="cuda" if torch.cuda.is_available() else "cpu")
        self._model.max_seq_length = min(_MAX_TOKENS, self._model.max_seq_length or _MAX_TOKENS)
        self.dimensions = int(self._model.get_embedding_dimension() or 0)

    def embed(self, texts: Sequence[str]) -> Rows:
        """One row for each text of a document."""
        rows: Rows = self._model.encode_document(
            list(texts), batch_size=_BATCH, normalize_embeddings=True, show_progress_bar=False
        )
        return rows

    def embed_question(self, text: str) -> Rows:
        """The vector of a question, which some models make in another way than a document's."""
        rows: Rows = self._model.encode_query([text], normalize_embeddings=True, show_progress_bar=False)
        vector: Rows = rows[0]
        return vector

    def count_tokens(self, text: str) -> int:
        """Without the marks of begin and end."""
        return len(self._model.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def serve(model: str, threads: int, pipe: Connection) -> None:
    """Tell the vectors' size, then embed and count until the pipe ends."""

    def load() -> tuple[object, Actions]:
        embedder = SentenceEmbedder(model, threads)
        return embedder.dimensions, {
            "embed": embedder.embed,
            "embed_question": embedder.embed_question,
            "count_tokens": embedder.count_tokens,
        }

    serve_actions(load, pipe)
