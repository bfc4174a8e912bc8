"""A sentence-embedding model of transformers, in a process of its own: torch is imported here for the first time.

How a text's vector is taken from the last layer stands in the model's `1_Pooling/config.json`, as sentence-transformers
writes it: the first token's (as bge-m3's) or, there or without such a file, the mean of all (as e5's).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer
from transformers.utils import cached_file

from workers.engine.local.serving import Actions, serve_actions

_MAX_TOKENS = 512
_BATCH = 16


class SentenceEmbedder:
    """One vector of length 1 for a text."""

    def __init__(self, model: str, threads: int) -> None:
        torch.set_num_threads(threads or max(1, (os.cpu_count() or 2) - 1))
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._tokenizer = AutoTokenizer.from_pretrained(model)
        self._model = AutoModel.from_pretrained(model).to(self._device).eval()
        self.dimensions = int(self._model.config.hidden_size)
        self._first_token = _takes_first_token(model)
        positions = getattr(self._model.config, "max_position_embeddings", _MAX_TOKENS)
        self._max_tokens = min(_MAX_TOKENS, int(positions) - 2)  # some models begin to count at 2

    def embed(self, texts: Sequence[str]) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        """One row for each text."""
        rows = np.zeros((len(texts), self.dimensions), np.float32)
        with torch.inference_mode():
            for start in range(0, len(texts), _BATCH):
                batch = self._tokenizer(
                    list(texts[start : start + _BATCH]),
                    padding=True,
                    truncation=True,
                    max_length=self._max_tokens,
                    return_tensors="pt",
                ).to(self._device)
                hidden = self._model(**batch).last_hidden_state.float()
                mask = batch["attention_mask"][..., None].float()
                mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1.0)
                taken = hidden[:, 0] if self._first_token else mean
                rows[start : start + len(taken)] = torch.nn.functional.normalize(taken, dim=1).cpu().numpy()
        return rows

    def count_tokens(self, text: str) -> int:
        """Without the marks of begin and end."""
        return len(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def _takes_first_token(model: str) -> bool:
    file = cached_file(model, "1_Pooling/config.json", _raise_exceptions_for_missing_entries=False)
    if file is None:
        return False
    pooling = json.loads(Path(file).read_text(encoding="utf-8"))
    return bool(pooling.get("pooling_mode_cls_token"))


def serve(model: str, threads: int, pipe: Connection) -> None:
    """Tell the vectors' size, then embed and count until the pipe ends."""

    def load() -> tuple[object, Actions]:
        embedder = SentenceEmbedder(model, threads)
        return embedder.dimensions, {"embed": embedder.embed, "count_tokens": embedder.count_tokens}

    serve_actions(load, pipe)
