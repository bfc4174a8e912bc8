"""Tokens to text as they come, never cutting a character in two."""

from __future__ import annotations

from tokenizers import Tokenizer

REPLACEMENT = "\ufffd"
# A character has four bytes at most and a token at least one: what is no character by then will never be one.
MAX_HELD_TOKENS = 8


class TextStream:
    """Turns one answer's tokens into text. Special tokens give none.

    A token may hold a part of a character, and whether a space stands before a word may depend on the token before.
    So some tokens that are already told are decoded again with the new ones, and what is new behind them is the text.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._tokens: list[int] = []
        self._context = 0  # where the tokens begin that are decoded again
        self._told = 0  # tokens whose text has been told
        self._known = ""  # the text between the two

    def push(self, *tokens: int) -> str:
        """Take tokens; returns the text that is certain now."""
        self._tokens += tokens
        end = len(self._tokens)
        text = self._decode(self._context, end)
        # The last character may lack some of its bytes yet: what stands before it is told.
        while text.endswith(REPLACEMENT) and len(self._tokens) - end < MAX_HELD_TOKENS - 1 and end > self._told:
            end -= 1
            text = self._decode(self._context, end)
        if end == self._told or len(text) <= len(self._known):
            return ""
        new = text[len(self._known) :]
        self._context, self._told = self._told, end
        self._known = self._decode(self._context, end)
        return new

    def finish(self) -> str:
        """The text that was held back, without the part of a character that will not come."""
        return self._decode(self._context, len(self._tokens))[len(self._known) :].rstrip(REPLACEMENT)

    def _decode(self, start: int, end: int) -> str:
        text: str = self._tokenizer.decode(self._tokens[start:end], skip_special_tokens=True)
        return text
