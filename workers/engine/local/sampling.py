"""Choosing the next token."""

from __future__ import annotations

import torch
from torch import Tensor


class Sampler:
    """Chooses the tokens of one answer: the likeliest at temperature 0, else by chance from the answer's own seed.

    The chances come from a generator of its own on the CPU, so that the same seed gives the same answer whoever
    else is in the batch and whatever the device.
    """

    def __init__(self, temperature: float, seed: int) -> None:
        self.greedy = temperature == 0
        self._temperature = temperature
        self._random = torch.Generator().manual_seed(seed % 2**63)

    def choose(self, logits: Tensor) -> int:
        """A token out of logits of shape [vocabulary]."""
        if self.greedy:
            return int(logits.argmax())
        # The largest is taken off first, so that a tiny temperature gives the likeliest and no infinity.
        scaled = (logits.double().cpu() - logits.max().double().cpu()) / self._temperature
        return int(torch.multinomial(torch.softmax(scaled, -1), 1, generator=self._random))
