"""A decoder: turns tokens into the next token's logits, for many sequences at a time.

It knows token ids and nothing of text, requests or sampling.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch


class Decoder(ABC):
    """Holds the running sequences as rows 0 to `rows - 1`, and prompts that are being read."""

    name: str
    attention: str  # whose attention it uses, in words
    rows: int = 0
    prefill_tokens: int = 512  # that are read between two steps of the growing answers
    runs_ahead: bool = False  # whether it returns before it has computed, so that other work can be done meanwhile

    @abstractmethod
    def begin(self, prompt: list[int], max_new_tokens: int) -> bool:
        """Begin to read a prompt of at least one token, behind those that are being read.

        False where there is no room now for it and an answer of so many tokens, or where one prompt is read at a time.
        """

    @property
    def unread(self) -> int:
        """Tokens that are left to read of the prompts that were begun; one that reads one at a time need not know."""
        return 0

    @abstractmethod
    def give_up(self, number: int) -> None:
        """Forget the prompt that was begun as the `number`-th of those that are being read, from 0 on."""

    @abstractmethod
    def prefill(self, max_tokens: int) -> tuple[int, list[torch.Tensor]]:
        """Read on, up to `max_tokens` more; returns how many were read.

        With the last token of each prompt comes the logits of the next one, of shape [vocabulary], and the prompt has
        become the last row; in the order in which they were begun.
        """

    @abstractmethod
    def decode(self, tokens: list[int]) -> torch.Tensor:
        """Append one token to each row; returns the logits of the next ones, of shape [rows, vocabulary]."""

    def restore(self) -> None:  # noqa: B027 -- most change nothing in the model
        """Leave the model as it was found: this decoder is not the one."""

    @abstractmethod
    def release(self, row: int) -> None:
        """Drop a row; the last row takes its number."""
