"""A decoder: turns tokens into the next token's logits, for many sequences at a time.

It knows token ids and nothing of text, requests or sampling.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch


class Decoder(ABC):
    """Holds the running sequences as rows 0 to `rows - 1`, and at most one prompt that is being read."""

    name: str
    rows: int = 0

    @abstractmethod
    def begin(self, prompt: list[int]) -> None:
        """Begin to read a prompt of at least one token; gives up one that is still being read."""

    @abstractmethod
    def prefill(self, max_tokens: int) -> tuple[int, torch.Tensor | None]:
        """Read on, up to `max_tokens` more; returns how many were read.

        With the last of them comes the logits of the next token, of shape [vocabulary], and the prompt has become
        the last row.
        """

    @abstractmethod
    def decode(self, tokens: list[int]) -> torch.Tensor:
        """Append one token to each row; returns the logits of the next ones, of shape [rows, vocabulary]."""

    @abstractmethod
    def release(self, row: int) -> None:
        """Drop a row; the last row takes its number."""
