"""Sentences: the smallest pieces of a passage that say something alone, in a form that can be quoted.

A sentence of prose, an item of a list, a row of a table (with the names of its columns), a block of code with the
sentence before it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from workers.knowledge.words import CJK, language_of

_FENCE = re.compile(r"^\s*(```|~~~)")
_TABLE_ROW = re.compile(r"^\s*\|.*\|\s*$")
_TABLE_RULE = re.compile(r"^\s*\|(\s*:?-+:?\s*\|)+\s*$")
_LIST_ITEM = re.compile(r"^\s*(?:[-*+•]|\d{1,4}[.)、])\s+")
_CLOSING = "”’」』）)】》\"'"
_END = re.compile(
    rf"(?:[。！？!?…]+[{_CLOSING}]*(?=\s|[{CJK}“「『（《`\w]|$))"  # Chinese, and ! ? anywhere
    rf"|(?:\.[{_CLOSING}]*(?=\s+[A-Z0-9\"'“‘(\[`{CJK}]|\s*$))"
)
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|cf|No|Nr|Mr|Mrs|Ms|Dr|St|Fig|approx|Inc|Ltd|Co)|\b[A-Z])\.$")
_LONGEST_ABBREVIATION = 8  # characters, with the one before it


@dataclass(frozen=True, slots=True)
class Sentence:
    """One piece of a passage. `text` reads alone; `verbatim` is what stands in the passage."""

    text: str
    verbatim: str


def sentences(passage_text: str) -> list[Sentence]:
    """The passage's pieces, in order."""
    found: list[Sentence] = []
    lines = passage_text.split("\n")
    at = 0
    while at < len(lines):
        end = _block_end(lines, at)
        new = _pieces(lines[at:end])
        if found and new and is_fence(lines[at]):
            # A command alone says nothing: the sentence before it says what it is for.
            before = found.pop()
            new = [Sentence(f"{before.text}\n{new[0].text}", f"{before.verbatim}\n{new[0].verbatim}")]
        found.extend(new)
        at = end
    return found


def split_prose(text: str) -> list[str]:
    """Cut prose after each full stop, Chinese or English; joined, the parts are the text again but for spaces."""
    parts: list[str] = []
    start = 0
    for match in _END.finditer(text):
        before = max(start, match.start() - _LONGEST_ABBREVIATION)
        if match.group()[0] == "." and _ABBREVIATION.search(text, before, match.start() + 1):
            continue
        parts.append(text[start : match.end()].strip())
        start = match.end()
    parts.append(text[start:].strip())
    return [part for part in parts if part]


def is_table_row(line: str) -> bool:
    """Whether the line is a row of a Markdown table."""
    return bool(_TABLE_ROW.match(line))


def is_fence(line: str) -> bool:
    """Whether the line opens or closes a block of code."""
    return bool(_FENCE.match(line))


def is_list_item(line: str) -> bool:
    """Whether the line begins an item of a list."""
    return bool(_LIST_ITEM.match(line))


def _block_end(lines: list[str], at: int) -> int:
    if is_fence(lines[at]):
        for end in range(at + 1, len(lines)):
            if is_fence(lines[end]):
                return end + 1
        return len(lines)
    end = at + 1
    if is_table_row(lines[at]):
        while end < len(lines) and is_table_row(lines[end]):
            end += 1
    return end


def _pieces(block: list[str]) -> list[Sentence]:
    whole = "\n".join(block)
    if is_fence(block[0]):
        closed = len(block) > 1 and is_fence(block[-1])
        code = "\n".join(block[1:-1] if closed else block[1:]).strip("\n")
        return [Sentence(code, code)] if code.strip() else []
    if is_table_row(block[0]):
        return _rows(block)
    item = _LIST_ITEM.match(whole)
    return [Sentence(part, part) for part in split_prose(whole[item.end() :] if item else whole)]


def _rows(block: list[str]) -> list[Sentence]:
    header = cells(block[0]) if len(block) > 1 and _TABLE_RULE.match(block[1]) else []
    rows = block[2:] if header else block
    return [Sentence(_row_text(header, cells(row)), row.strip()) for row in rows if any(cells(row))]


def cells(row: str) -> list[str]:
    """The cells of a table's row."""
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row.strip().strip("|"))]


def named_cells(head: str, row: str) -> list[str]:
    """The row's filled cells, each in a line with the name of its column."""
    colon = "：" if language_of(head + row) == "zh" else ": "
    names = cells(head)
    named = zip([*names, *[""] * len(cells(row))], cells(row), strict=False)
    return [f"{name}{colon}{value}" if name else value for name, value in named if value]


def _row_text(header: list[str], row: list[str]) -> str:
    colon, comma = ("：", "，") if language_of("".join(row + header)) == "zh" else (": ", ", ")
    names = [*header, *[""] * len(row)]
    said = [f"{name} {value}".strip() for name, value in zip(names[1:], row[1:], strict=False) if value]
    return f"{row[0]}{colon}{comma.join(said)}" if said and row[0] else comma.join(said) or row[0]
