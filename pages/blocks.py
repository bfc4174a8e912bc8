"""The generated parts of the pages: each stands between two marks, and the rest of a page is written by hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from config.settings import CHECKOUT
from pages import commands, decisions, metrics, settings

BLOCKS: dict[str, Callable[[], str]] = {
    "commands": commands.help_of_all,
    "decisions": decisions.table_of_all,
    "make": commands.make_targets,
    "metrics": metrics.table_of_all,
    "settings": settings.tables,
}
MARK = re.compile(r"(<!-- made by `make pages`: (?P<name>[\w-]+) -->\n).*?(\n<!-- end -->)", re.DOTALL)


def filled(text: str) -> str:
    """The page with each generated part made anew. Raises KeyError for a part that nobody makes."""
    return MARK.sub(lambda mark: f"{mark[1]}\n{BLOCKS[mark['name']]().strip()}\n{mark[3]}", text)


def pages_with_blocks() -> Iterator[Path]:
    """Every page that has a generated part."""
    for page in sorted([*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").rglob("*.md")]):
        if MARK.search(page.read_text(encoding="utf-8")):
            yield page
