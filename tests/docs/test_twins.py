"""A page in Chinese and its English twin say the same: parts, commands, settings and figures are those of the other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from config.environment import CHECKOUT
from tests.docs.pages import DOCS, FENCE, SHELL, blocks

CHINESE = [*sorted(DOCS.glob("*.zh.md")), CHECKOUT / "README.zh.md"]
HEADING = re.compile(r"^(#+) ", re.MULTILINE)
REMARK = re.compile(r"\s+#\s.*$", re.MULTILINE)
QUOTED = re.compile(r'"[^"]*"')
"""What somebody asks, in each language's own words."""
WORDS_IN_IT = ("mermaid",)
"""Blocks whose words are the language's own."""


def twin_of(page: Path) -> Path:
    """The English page of a Chinese one."""
    return page.with_name(page.name.replace(".zh.md", ".md"))


def text_of(page: Path) -> str:
    """The page without its blocks of code."""
    return FENCE.sub("", page.read_text())


def code_of(page: Path) -> list[tuple[str, str]]:
    """The page's blocks of code; in what is typed without remarks and questions, which are in the page's language."""
    return [
        (one.language, QUOTED.sub('"…"', REMARK.sub("", one.body)) if one.language in SHELL else one.body)
        for one in blocks(page)
        if one.language not in WORDS_IN_IT
    ]


def named_in(page: Path) -> set[str]:
    """Settings, commands, files, metrics and whatever else the page's sentences name in the words of programs."""
    spans = re.findall(r"`([^`\n]+)`", text_of(page))
    return {QUOTED.sub('"…"', one) for one in spans if QUOTED.sub("", one).isascii()}


def rows_of(page: Path) -> list[tuple[int, list[str]]]:
    """How many cells each row of the page's tables has, and the numbers in it."""
    rows = [line for line in text_of(page).splitlines() if line.lstrip().startswith("|")]
    return [(row.count("|"), numbers_in(row)) for row in rows]


def numbers_in(text: str) -> list[str]:
    """The text's numbers in order of size, with or without a thousand's comma."""
    return sorted(re.findall(r"\d+(?:\.\d+)?", re.sub(r"(?<=\d),(?=\d{3})", "", text)))


@pytest.mark.parametrize("page", CHINESE, ids=lambda page: page.name)
def test_a_page_leads_to_its_twin_and_back(page: Path) -> None:
    """Whoever lands on the wrong language has the other one a click away, above all text."""
    for here, there in ((page, twin_of(page)), (twin_of(page), page)):
        assert f"]({there.name})" in "".join(here.read_text().splitlines(keepends=True)[:4])


@pytest.mark.parametrize("page", CHINESE, ids=lambda page: page.name)
def test_twins_have_the_same_parts(page: Path) -> None:
    """Each heading of the one has its heading in the other, as deep."""
    assert HEADING.findall(text_of(page)) == HEADING.findall(text_of(twin_of(page)))


@pytest.mark.parametrize("page", CHINESE, ids=lambda page: page.name)
def test_twins_have_the_same_code(page: Path) -> None:
    """What is typed or written into a file is the same; only remarks and questions are translated."""
    assert code_of(page) == code_of(twin_of(page))


@pytest.mark.parametrize("page", CHINESE, ids=lambda page: page.name)
def test_twins_name_the_same_things(page: Path) -> None:
    """No setting, command, file or metric stands in one language alone."""
    assert named_in(page) == named_in(twin_of(page))


@pytest.mark.parametrize("page", CHINESE, ids=lambda page: page.name)
def test_twins_have_the_same_figures(page: Path) -> None:
    """Each row of a table has its row, with the same numbers; and no number of the text is missing."""
    assert rows_of(page) == rows_of(twin_of(page))
    assert set(numbers_in(text_of(page))) == set(numbers_in(text_of(twin_of(page))))


def test_there_are_twins() -> None:
    """The tests above look at something."""
    assert {page.name for page in CHINESE} >= {"web.zh.md", "knowledge.zh.md", "gate.zh.md", "README.zh.md"}
