"""A passage: a piece of a document that is found, cited and quoted as one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from workers.knowledge.address import page_address
from workers.knowledge.document import Document
from workers.knowledge.sentence import is_fence, is_table_row, named_cells, split_prose
from workers.knowledge.words import Language, language_of, size_words

Size = Callable[[str], int]
"""Counts the tokens of a text."""

SPLITTER_VERSION = 2
"""Raise it when passages are cut in another way, so that unchanged files are read again."""
_WHOLE_UP_TO = 2  # a table or a block of code stays whole up to this many times the limit
_MOST_CHARACTERS_A_TOKEN = 16  # on average over a passage; what has more is no writing, and is cut there
_MOST_WINDOWS = 8
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
    def place(self) -> str:
        """Where a reader finds it: its URL, else its document's source, with the page where there is one."""
        if self.url:
            return page_address(self.url, self.page)
        return f"{self.source}#page={self.page}" if self.page else self.source

    @property
    def label(self) -> str:
        """The title and the path of headings, for a reader."""
        return " › ".join((self.title, *self.heading))


def split(document: Document, passage_tokens: int, size: Size = size_words) -> Iterator[Passage]:
    """Cut a document into passages of at most `passage_tokens`, as `size` counts them.

    A passage never goes across a heading, nor ends inside a sentence unless the sentence alone is longer.
    A table or a code block stays whole up to twice that size; a longer table repeats its head.
    """
    splitter = _Splitter(passage_tokens, size)
    for section in document.sections:
        for text in splitter.texts(section.blocks):
            language = language_of(text)
            yield Passage(
                0, document.source, document.title, section.heading, language, text, section.page, document.url
            )


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a passage: what stands between it and the one before, itself, and its size."""

    joint: str
    text: str
    size: int


class _Splitter:
    """Cuts blocks to one limit. Whatever is in a block, the work grows with its length alone."""

    def __init__(self, limit: int, size: Size) -> None:
        self._limit = limit
        self._count = size
        self._window = limit * _MOST_CHARACTERS_A_TOKEN

    def _size(self, text: str) -> int:
        least = -(-len(text) // _MOST_CHARACTERS_A_TOKEN)
        return least if least > _WHOLE_UP_TO * self._limit else max(least, self._count(text))

    def texts(self, blocks: Iterable[str]) -> Iterator[str]:
        """The pieces of the blocks, joined up to the limit."""
        blocks = list(blocks)
        if sum(map(len, blocks)) <= self._limit:  # no tokenizer makes more tokens of a text than it has characters
            yield from ["\n\n".join(blocks)] if blocks else []
            return
        held, total = "", 0
        for piece in (piece for block in blocks for piece in self._pieces(block)):
            if held and total + piece.size > self._limit:
                yield held
                held, total = "", 0
            held = f"{held}{piece.joint}{piece.text}" if held else piece.text
            total += piece.size
        if held:
            yield held

    def _pieces(self, block: str) -> Iterator[_Piece]:
        lines = block.split("\n")
        whole = is_fence(lines[0]) or is_table_row(lines[0])
        length = self._size(block)
        if length <= self._limit * (_WHOLE_UP_TO if whole else 1):
            yield _Piece("\n\n", block, length)
        elif is_table_row(lines[0]):
            yield from self._table(lines)
        elif whole:
            yield from self._code(lines)
        else:
            yield from self._prose(lines)

    def _prose(self, lines: Iterable[str]) -> Iterator[_Piece]:
        joint = "\n\n"
        for line in lines:
            for window in self._windows(line):
                for sentence in split_prose(window):
                    for part in self._cut(sentence):
                        yield _Piece(joint, part, self._size(part))
                        joint = "" if language_of(part) == "zh" else " "
            joint = "\n"

    def _windows(self, line: str) -> Iterator[str]:
        """The line, or where no line of writing is that long, parts of it."""
        while len(line) > self._window * _MOST_WINDOWS:
            at = line.rfind(" ", 1, self._window * _MOST_WINDOWS)
            at = at if at > 0 else self._window * _MOST_WINDOWS
            yield line[:at]
            line = line[at:]
        yield line

    def _cut(self, sentence: str) -> Iterator[str]:
        """Cut a sentence that is too long for a passage: after a comma, else anywhere between words."""
        if self._size(sentence) <= self._limit:
            yield sentence
            return
        held = ""
        for clause in _CLAUSE.split(sentence):
            if held and self._size(held + clause) > self._limit:
                yield held.strip()
                held = ""
            held += clause
            while self._size(held) > self._limit:
                at = self._fitting(held)
                yield held[:at].strip()
                held = held[at:]
        if held.strip():
            yield held.strip()

    def _fitting(self, text: str) -> int:
        """How many characters of the text are within the limit."""
        low, high = 1, min(len(text), self._window)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self._size(text[:middle]) <= self._limit else (low, middle - 1)
        space = text.rfind(" ", 0, low)
        return space + 1 if space > 0 and not text[low : low + 1].isspace() and text[low - 1].isascii() else low

    def _table(self, lines: list[str]) -> Iterator[_Piece]:
        head = "\n".join(lines[:2])
        room = self._limit - self._size(head)
        rows = lines[2:]
        if room < self._limit / 2:  # names of columns as long as a passage: each row tells its own
            for row in rows:
                yield from self._prose(named_cells(lines[0], row))
            return
        for group in self._grouped(rows, room):
            if len(group) == 1 and self._size(group[0]) > room:
                yield from self._prose(named_cells(lines[0], group[0]))
            else:
                text = "\n".join([head, *group])
                yield _Piece("\n\n", text, self._size(text))

    def _code(self, lines: list[str]) -> Iterator[_Piece]:
        body = lines[1:-1] if is_fence(lines[-1]) else lines[1:]
        short = (part for line in body for part in self._short(line))
        for group in self._grouped(short, self._limit):
            text = "\n".join([lines[0], *group, "```"])
            yield _Piece("\n\n", text, self._size(text))

    def _short(self, line: str) -> Iterator[str]:
        while self._size(line) > self._limit:
            at = self._fitting(line)
            yield line[:at]
            line = line[at:]
        yield line

    def _grouped(self, lines: Iterable[str], limit: int) -> Iterator[list[str]]:
        held: list[str] = []
        total = 0
        for line in lines:
            length = self._size(line)
            if held and total + length > limit:
                yield held
                held, total = [], 0
            held.append(line)
            total += length
        if held:
            yield held
