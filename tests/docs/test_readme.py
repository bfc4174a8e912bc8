"""The READMEs: short, alike in both languages, and the way from a stranger's question to the file that answers it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from config.environment import CHECKOUT
from tests.docs.pages import commands

READMES = [CHECKOUT / name for name in ("README.md", "README.zh.md")]
ROW = re.compile(
    r"^\| (?P<question>[^|]+[?？]) \| \[[^]]+\]\((?P<page>[^)#]+)(?:#(?P<part>[^)]+))?\) \| `(?P<file>[^`]+)` \|$",
    re.MULTILINE,
)


@pytest.mark.parametrize("readme", READMES, ids=lambda readme: readme.name)
def test_a_readme_is_short(readme: Path) -> None:
    """Whoever comes first reads to its end."""
    assert len(readme.read_text().splitlines()) < 150


def test_both_readmes_have_the_same_commands() -> None:
    """What an English reader types, a Chinese one does too; only questions differ."""
    english, chinese = ([re.sub(r'"[^"]*"', '"…"', one) for one in commands(readme)] for readme in READMES)

    assert english == chinese


@pytest.mark.parametrize("readme", READMES, ids=lambda readme: readme.name)
def test_a_stranger_s_question_leads_to_one_page_and_one_file(readme: Path) -> None:
    """Discord, a dying GPU, a late answer: the page has that part, and the part names the file."""
    rows = list(ROW.finditer(readme.read_text()))

    assert len(rows) == 3
    for row in rows:
        assert row["file"] in part_of((CHECKOUT / row["page"]).read_text(), row["part"])
        assert (CHECKOUT / row["file"]).is_file()


def part_of(page: str, part: str | None) -> str:
    """What stands below the heading with this anchor, or the whole page. Raises ValueError where it has none such."""
    parts = {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-"): text
        for heading, text in re.findall(r"^#+ (.*)\n((?:(?!#).*\n)*)", page, re.MULTILINE)
    }
    if part is None:
        return page
    if part not in parts:
        raise ValueError(f"the page has no heading for #{part}")
    return str(parts[part])
