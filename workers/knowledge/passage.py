"""A passage: a piece of a document that is found, cited and quoted as one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from workers.knowledge.document import Document
from workers.knowledge.sentence import is_fence, is_table_row, split_prose
from workers.knowledge.words import Language, language_of, size_words

SPLITTER_VERSION = 1
"""Raise it when passages are cut in another way, so that unchanged files are read again."""
_WHOLE_UP_TO = 2  # a table or a block of code stays whole up to this many times the limit
_CLAUSE = re.compile(r"(?<=[；;，,、：:])")


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document. `id` is 0 until the index has given it one; `heading` leaves out the title.

    `page` counts from 1 and is 0 where the document has no pages; `url` is empty where the document has none.
    """

    id: int
    source: str
    title: str
    heading: tuple[str, ...]
    language: Language
    text: str
    page: int = 0
    url: str = ""

    @property
    def label(self) -> str:
        """The title and the path of headings, for a reader."""
        return " › ".join((self.title, *self.heading))


def split(document: Document, passage_tokens: int) -> Iterator[Passage]:
    """Cut a document into passages of at most `passage_tokens` words or Chinese characters.

    A passage never goes across a heading, nor ends inside a sentence unless the sentence alone is longer.
    A table or a code block stays whole up to twice that size; a longer table repeats its head.
    """
    for section in document.sections:
        pieces = (piece for block in section.blocks for piece in _pieces(block, passage_tokens))
        for text in _packed(pieces, passage_tokens):
            language = language_of(text)
            yield Passage(
                0, document.source, document.title, section.heading, language, text, section.page, document.url
            )


def _packed(pieces: Iterator[tuple[str, str]], limit: int) -> Iterator[str]:
    """Join pieces up to the limit; each piece comes with what stands between it and the one before."""
    held, size = "", 0
    for joint, piece in pieces:
        length = size_words(piece)
        if held and size + length > limit:
            yield held
            held, size = "", 0
        held = f"{held}{joint}{piece}" if held else piece
        size += length
    if held:
        yield held


def _pieces(block: str, limit: int) -> Iterator[tuple[str, str]]:
    lines = block.split("\n")
    if is_fence(lines[0]) or is_table_row(lines[0]):
        if size_words(block) <= limit * _WHOLE_UP_TO:
            yield "\n\n", block
        elif is_table_row(lines[0]):
            yield from _table_parts(lines, limit)
        else:
            yield from _code_parts(lines, limit)
        return
    if size_words(block) <= limit:
        yield "\n\n", block
        return
    joint = "\n\n"
    for line in lines:
        for part in _prose_parts(line, limit):
            yield joint, part
            joint = "" if language_of(part) == "zh" else " "
        joint = "\n"


def _prose_parts(text: str, limit: int) -> Iterator[str]:
    for sentence in split_prose(text):
        if size_words(sentence) <= limit:
            yield sentence
        else:
            yield from _cut(sentence, limit)


def _cut(sentence: str, limit: int) -> Iterator[str]:
    """Cut a sentence that is too long for a passage: after a comma, else anywhere between words."""
    held = ""
    for clause in _CLAUSE.split(sentence):
        if held and size_words(held + clause) > limit:
            yield held.strip()
            held = ""
        held += clause
        while size_words(held) > limit:
            at = _fitting(held, limit)
            yield held[:at].strip()
            held = held[at:]
    if held.strip():
        yield held.strip()


def _fitting(text: str, limit: int) -> int:
    """How many characters of the text hold `limit` words."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if size_words(text[:middle]) <= limit else (low, middle - 1)
    space = text.rfind(" ", 0, low)
    return space + 1 if space > 0 and not text[low : low + 1].isspace() and text[low - 1].isascii() else low


def _table_parts(lines: list[str], limit: int) -> Iterator[tuple[str, str]]:
    head = lines[:2]
    for rows in _grouped(lines[2:], limit - size_words("\n".join(head)), size_words):
        yield "\n\n", "\n".join([*head, *rows])


def _code_parts(lines: list[str], limit: int) -> Iterator[tuple[str, str]]:
    body = lines[1:-1] if is_fence(lines[-1]) else lines[1:]
    for part in _grouped(body, limit, size_words):
        yield "\n\n", "\n".join([lines[0], *part, "```"])


def _grouped(lines: list[str], limit: int, size: Callable[[str], int]) -> Iterator[list[str]]:
    held: list[str] = []
    total = 0
    for line in lines:
        length = size(line)
        if held and total + length > limit:
            yield held
            held, total = [], 0
        held.append(line)
        total += length
    if held:
        yield held
