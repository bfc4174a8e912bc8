"""The serial decoder: one row after another, each with a cache of the model's own kind; slow, and right for all."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from workers.engine.local.decoder import Decoder


class SerialDecoder(Decoder):
    """Decodes each row by a forward of its own, as `generate` would."""

    name = "serial"
    attention = "the model's own"

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._prompt: list[int] = []
        self._caches: list[DynamicCache] = []

    def begin(self, prompt: list[int], max_new_tokens: int) -> bool:
        """Begin to read a prompt."""
        del max_new_tokens
        if self._prompt:
            return False
        self._prompt = prompt
        return True

    def give_up(self, number: int) -> None:
        """Forget the prompt."""
        del number
        self._prompt = []

    @torch.inference_mode()
    def prefill(self, max_tokens: int) -> tuple[int, list[Tensor]]:
        """Read the whole prompt at once: not every cache can go on in the middle of one."""
        del max_tokens
        cache = DynamicCache(config=self._model.config)
        prompt = self._prompt
        logits = self._forward(prompt, cache)
        self._prompt = []
        self._caches.append(cache)
        self.rows += 1
        return len(prompt), [logits]

    @torch.inference_mode()
    def decode(self, tokens: list[int]) -> Tensor:
        """One forward a row."""
        return torch.stack([self._forward([token], cache) for token, cache in zip(tokens, self._caches, strict=True)])

    def release(self, row: int) -> None:
        """Drop a row."""
        self._caches[row] = self._caches[-1]
        self._caches.pop()
        self.rows -= 1

    def _forward(self, tokens: list[int], cache: DynamicCache) -> Tensor:
        ids = torch.tensor([tokens], device=self._model.device)
        logits: Tensor = self._model(input_ids=ids, past_key_values=cache, use_cache=True).logits[0, -1]
        return logits
