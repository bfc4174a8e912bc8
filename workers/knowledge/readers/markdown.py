"""Markdown: sections and blocks of a document, as plain text that keeps tables, lists and code."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token

from workers.knowledge.document import Section
from workers.knowledge.encoding import decode
from workers.knowledge.reader import Reader, Reading
from workers.knowledge.words import CJK

_BREAK_IN_CHINESE = re.compile(rf"(?<=[{CJK}，。、；：？！”）])\n(?=[{CJK}“（])")
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?\n)(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FRONT_TITLE = re.compile(r"^title:[ \t]*(.+?)[ \t]*$", re.MULTILINE)
_TAG = re.compile(r"<!--.*?-->|<[^>]*>", re.DOTALL)


class MarkdownReader(Reader):
    """Reads Markdown, with the title out of YAML front matter where there is one."""

    def read(self, content: bytes, name: str) -> Reading:  # noqa: ARG002 -- the interface names it
        """The title is the front matter's, else the first heading of level 1."""
        text = decode(content)
        title = ""
        front = _FRONT_MATTER.match(text)
        if front:
            named = _FRONT_TITLE.search(front.group(1))
            title = named.group(1).strip("\"'") if named else ""
            text = text[front.end() :]
        heading, sections = markdown_sections(text)
        return Reading(title or heading, sections)


def markdown_sections(text: str) -> tuple[str, tuple[Section, ...]]:
    """The title (the first heading of level 1, or empty) and the sections of a Markdown text."""
    tokens = _parser().parse(text)
    title = ""
    path: list[tuple[int, str]] = []
    sections: list[Section] = []
    blocks: list[str] = []
    at = 0
    while at < len(tokens):
        end = _end_of_block(tokens, at)
        token = tokens[at]
        if token.type == "heading_open":
            sections.append(Section(tuple(name for _, name in path), tuple(blocks)))
            blocks = []
            level, name = int(token.tag[1]), _inline(tokens[at + 1])
            if level == 1 and not title:
                title, path = name, []
            else:
                path = [(above, named) for above, named in path if above < level] + [(level, name)]
        elif block := _block(tokens[at:end]):
            blocks.append(block)
        at = end
    sections.append(Section(tuple(name for _, name in path), tuple(blocks)))
    return title, tuple(section for section in sections if section.blocks)


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark").enable("table")


def _end_of_block(tokens: Sequence[Token], at: int) -> int:
    if tokens[at].nesting != 1:
        return at + 1
    depth = 0
    for end in range(at, len(tokens)):
        depth += tokens[end].nesting
        if depth == 0:
            return end + 1
    return len(tokens)


def _block(tokens: Sequence[Token]) -> str:
    first = tokens[0]
    if first.type == "table_open":
        return _table(tokens)
    if first.type in ("fence", "code_block"):
        return _code(first)
    if first.type == "html_block":
        return " ".join(_TAG.sub(" ", first.content).split())
    return "\n".join(_lines(tokens))


def _lines(tokens: Sequence[Token]) -> list[str]:
    """The lines of a paragraph, a list or a quotation; an item's number or dash stands before its first line."""
    lines: list[str] = []
    marks: list[str] = []
    pending = ""
    at = 0
    while at < len(tokens):
        token = tokens[at]
        indent = "  " * max(0, len(marks) - 1)
        if token.type in ("bullet_list_open", "ordered_list_open"):
            marks.append("-" if token.type == "bullet_list_open" else "1")
        elif token.type in ("bullet_list_close", "ordered_list_close"):
            marks.pop()
        elif token.type == "list_item_open":
            pending = f"{token.info}. " if token.info else "- "
        elif token.type == "inline":
            lines.append(f"{indent}{pending}{_inline(token)}")
            pending = ""
        elif token.type in ("fence", "code_block"):
            lines.append(_code(token))
        elif token.type == "table_open":
            end = _end_of_block(tokens, at)
            lines.append(_table(tokens[at:end]))
            at = end
            continue
        at += 1
    return [line for line in lines if line.strip()]


def _code(token: Token) -> str:
    return f"```{token.info.strip()}\n{token.content.rstrip()}\n```" if token.content.strip() else ""


def _table(tokens: Sequence[Token]) -> str:
    rows: list[list[str]] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            rows[-1].append(_inline(token).replace("|", "\\|"))
    if not rows:
        return ""
    rule = ["---"] * len(rows[0])
    return "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:]))


def _inline(token: Token) -> str:
    said: list[str] = []
    for child in token.children or ():
        if child.type in ("text", "text_special"):
            said.append(child.content)
        elif child.type == "code_inline":
            said.append(f"`{child.content}`")
        elif child.type in ("softbreak", "hardbreak"):
            said.append("\n")
        elif child.type == "image":
            said.append(child.content)
    # A line break in a Chinese paragraph is no space.
    return _BREAK_IN_CHINESE.sub("", "".join(said)).replace("\n", " ").strip()
