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
    """Discord, a dying GPU, a late answer: the page has that part and names the file."""
    rows = list(ROW.finditer(readme.read_text()))

    assert len(rows) == 3
    for row in rows:
        page = (CHECKOUT / row["page"]).read_text()
        slugs = [
            re.sub(r"[^\w -]", "", one).strip().lower().replace(" ", "-")
            for one in re.findall(r"^#+ (.*)$", page, re.MULTILINE)
        ]
        assert row["part"] is None or row["part"] in slugs
        assert row["file"] in page
        assert (CHECKOUT / row["file"]).is_file()
