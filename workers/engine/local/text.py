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

    def push(self, token: int) -> str:
        """Take a token; returns the text that is certain now."""
        self._tokens.append(token)
        text = self._decode(self._context)
        held = len(self._tokens) - self._told
        if len(text) <= len(self._known) or (text.endswith(REPLACEMENT) and held < MAX_HELD_TOKENS):
            return ""
        new = text[len(self._known) :]
        self._context, self._told = self._told, len(self._tokens)
        self._known = self._decode(self._context)
        return new

    def finish(self) -> str:
        """The text that was held back, without the part of a character that will not come."""
        return self._decode(self._context)[len(self._known) :].rstrip(REPLACEMENT)

    def _decode(self, start: int) -> str:
        text: str = self._tokenizer.decode(self._tokens[start:], skip_special_tokens=True)
        return text
