"""Answers' Markdown as Slack takes it: safe, cut into pieces, and in Slack's own older markup where blocks fail."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from bot.text_parts import split

_CALL = re.compile(r"(?:<|&lt;)(?=\s*[!@])", re.IGNORECASE)
_IMAGE = re.compile(r"!\[([^\]\n]*)\](?:\([^)\n]*\)|\[[^\]\n]*\])?")
_HTML_IMAGE = re.compile(r"<img\b[^>]*>", re.IGNORECASE)
_CODE = re.compile(r"(^[ ]{0,3}(?:```|~~~).*?(?:^[ ]{0,3}(?:```|~~~)[ ]*$|\Z)|`[^`\n]+`)", re.DOTALL | re.MULTILINE)
_FENCE = re.compile(r"^ {0,3}(```|~~~)(.*)$")
_RULE = re.compile(r"^\s*\|?(?:\s*:?-+:?\s*\|)*\s*:?-+:?\s*\|?\s*$")
"""The line below a table's head."""
_CELL_END = re.compile(r"(?<!\\)\|")
_UNFINISHED_TABLE = re.compile(r"(?:^[ \t]*\|[^\n]*(?:\n|\Z))+\Z", re.MULTILINE)
_UNFINISHED = re.compile(
    r"(?:!(?:\[[^\]\n]*(?:\][(\[]?[^)\]\n]*)?)?|[<@&]\s*/?[^\s<>@&]{0,12}|<img\b[^>]*)$", re.IGNORECASE
)


def units(text: str) -> int:
    """A text's length as Slack may count it: an emoji is two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def safe_markdown(text: str) -> str:
    """Markdown that calls nobody and loads no image."""
    return outside_code(_CALL.sub("＜", text), lambda part: _HTML_IMAGE.sub("", _IMAGE.sub(r"\1", part)))


def finished(text: str) -> str:
    """The text up to where what comes next may still change how it is shown: an image, a mention, a table's row."""
    return _UNFINISHED_TABLE.sub("", _UNFINISHED.sub("", text))


def tables_as_code(text: str) -> str:
    """The text with its tables as code, so that their columns stand below each other.

    What Slack makes of a Markdown table depends on where it stands and has changed over time; code is code everywhere.
    """
    lines: list[str] = []
    table: list[str] = []
    in_code = False
    for line in [*text.split("\n"), None]:
        if line is not None and not in_code and line.lstrip().startswith("|"):
            table.append(line)
            continue
        is_table = len(table) > 1 and not _RULE.match(table[0]) and _RULE.match(table[1])
        lines += ["```", *_aligned(table), "```"] if is_table else table
        table = []
        if line is not None:
            in_code ^= bool(_FENCE.match(line))
            lines.append(line)
    return "\n".join(lines)


def outside_code(text: str, change: Callable[[str], str]) -> str:
    """`change` each piece of the text that is not code."""
    pieces = _CODE.split(text)
    return "".join(piece if place % 2 else change(piece) for place, piece in enumerate(pieces))


def pieces(text: str, limit: int) -> list[str]:
    """The text in messages of at most `limit` units; at least one."""
    return split(text, limit, units) or [""]


# --- mrkdwn, the markup that Slack had before it knew Markdown


def escaped(text: str) -> str:
    """The text with the three characters that mrkdwn reads as its own made literal."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def mrkdwn(text: str) -> str:
    """Markdown in Slack's older markup."""
    lines: list[str] = []
    in_code = False
    for line in tables_as_code(text).splitlines():
        if _FENCE.match(line):
            in_code = not in_code
            lines.append("```")
        else:
            lines.append(escaped(line) if in_code else _line(line))
    return "\n".join(lines).rstrip("\n")


def _aligned(table: list[str]) -> list[str]:
    lines = (line.strip().removeprefix("|").removesuffix("|") for line in table if not _RULE.match(line))
    rows = [[cell.strip().replace("**", "").replace("\\|", "|") for cell in _CELL_END.split(line)] for line in lines]
    places = range(max(map(len, rows)))
    widths = [max((_columns(row[place]) for row in rows if place < len(row)), default=0) for place in places]
    padded = (
        " | ".join(cell + " " * (width - _columns(cell)) for cell, width in zip(row, widths, strict=False))
        for row in rows
    )
    return [row.rstrip() for row in padded]


def _columns(text: str) -> int:
    """How wide a text is where each letter has one column, and a Chinese character two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _line(line: str) -> str:
    quote = re.match(r"^\s{0,3}>\s?", line)
    body = escaped(line[quote.end() :] if quote else line)
    heading = re.match(r"^\s{0,3}#{1,6}\s+(.*?)\s*#*$", body)
    if heading:
        body = f"*{heading.group(1).replace('**', '')}*"
    elif re.fullmatch(r"\s{0,3}([-*_])(?:\s*\1){2,}\s*", body):
        body = "———"
    else:
        body = re.sub(r"^(\s*)[-*+]\s+", r"\1• ", body)
        body = outside_code(body, _inline)
    return f"> {body}" if quote else body


def _inline(text: str) -> str:
    text = re.sub(r"\[([^\]\n]+)\]\((https?://[^\s)|]+)\)", r"<\2|\1>", text)
    # Bold first, under a sign of its own: mrkdwn's bold is Markdown's italic.
    text = re.sub(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1", "\x00\\2\x00", text)
    text = re.sub(r"(?<![\w*])\*(?=[^\s*])([^*\n]+?)(?<=\S)\*(?![\w*])", r"_\1_", text)
    return re.sub(r"~~(?=\S)(.+?)(?<=\S)~~", r"~\1~", text).replace("\x00", "*")
