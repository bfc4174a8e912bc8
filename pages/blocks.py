"""The generated parts of the pages: each stands between two marks, and the rest of a page is written by hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from config.environment import CHECKOUT
from pages import commands, decisions, errors, interfaces, licences, metrics, settings

BLOCKS: dict[str, Callable[..., str]] = {
    "commands": commands.help_of_all,
    "decisions": decisions.table_of_all,
    "interfaces": interfaces.table_of_all,
    "licences": licences.table_of_all,
    "make": commands.make_targets,
    "says": errors.sentences,
    "metrics": metrics.table_of_all,
    "settings": settings.tables,
}
MARK = re.compile(
    r"(?P<begin><!-- made by `make pages`: (?P<name>[\w-]+)(?: (?P<of>[\w-]+))? -->\n).*?(?P<end>\n<!-- end -->)",
    re.DOTALL,
)


MEASURED = ("interfaces",)
"""Parts that move with every line of code: written by `make pages`, and never too old to be right."""


def filled(text: str, leave: Collection[str] = ()) -> str:
    """The page with each generated part made anew, but those to leave. Raises KeyError for a part that nobody makes."""

    def made(mark: re.Match[str]) -> str:
        if mark["name"] in leave:
            return mark[0]
        arguments = [mark["of"]] if mark["of"] else []
        return f"{mark['begin']}\n{BLOCKS[mark['name']](*arguments).strip()}\n{mark['end']}"

    return MARK.sub(made, text)


def pages_with_blocks() -> Iterator[Path]:
    """Every page that has a generated part."""
    for page in sorted([*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").rglob("*.md")]):
        if MARK.search(page.read_text(encoding="utf-8")):
            yield page
