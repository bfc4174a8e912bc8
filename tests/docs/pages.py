"""The pages that people read, as the tests of them see them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from config.environment import CHECKOUT

DOCS = CHECKOUT / "docs"
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[^\n]*)\n(?P<body>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE)
SHELL = ("sh", "bash", "console", "shell")


@dataclass(frozen=True)
class Block:
    """A block of code in a page. `title` is the file name that the fence's `title="…"` gives it, or empty."""

    page: Path
    language: str
    title: str
    body: str


def pages() -> list[Path]:
    """Every page: those at the root, in `docs/` and beside what they explain."""
    found = [*CHECKOUT.glob("*.md"), *DOCS.rglob("*.md")]
    found += [CHECKOUT / folder / "README.md" for folder in ("deploy", "examples", "news")]
    return sorted(found)


def text_of_docs() -> str:
    """All that is written in `docs/` and the READMEs."""
    return "\n".join(page.read_text(encoding="utf-8") for page in pages())


def blocks(page: Path) -> Iterator[Block]:
    """The page's blocks of code."""
    for found in FENCE.finditer(page.read_text(encoding="utf-8")):
        language, _, rest = found["language"].strip().partition(" ")
        title = re.search(r'title="([^"]*)"', rest)
        yield Block(page, language, title[1] if title else "", found["body"])


def commands(page: Path) -> Iterator[str]:
    """What the page's shell blocks tell a reader to type, a command each, without the remark behind it."""
    for block in blocks(page):
        if block.language not in SHELL:
            continue
        for line in block.body.replace("\\\n", " ").splitlines():
            if block.language == "console" and not line.startswith("$ "):
                continue  # what the command prints
            command = re.sub(r"\s+#\s.*$", "", line.strip().removeprefix("$ ")).strip()
            if command and not command.startswith("#"):
                yield command
