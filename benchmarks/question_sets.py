"""Sets of documents with questions of which each has one right page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from config.environment import CHECKOUT

DATA = CHECKOUT / "tests" / "data" / "retrieval"
HARD = DATA / "hard.jsonl"


@dataclass(frozen=True, slots=True)
class LabelledQuestion:
    """A question and the path of its page below the set's folder. `group`: its language, and whether the page's."""

    text: str
    page: str
    group: str


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """A folder of pages and the questions on them."""

    name: str
    folder: Path
    questions: tuple[LabelledQuestion, ...]


def shipped_sets() -> list[QuestionSet]:
    """The handbook, a bicycle's manual and a print service's reference."""
    folders = (CHECKOUT / "examples" / "handbook", DATA / "cargo-bike", DATA / "print-api")
    return [QuestionSet(folder.name, folder, tuple(_shipped_questions(folder.name))) for folder in folders]


def hard_sets(folder: Path) -> list[QuestionSet]:
    """Thirty organisations and products, each with ten short pages in English and ten in Chinese, below the folder.

    Most questions have no word of their page, and the pages of a set are near to each other. They were written without
    a search at hand, so that nothing was chosen by what a search finds.
    """
    pages = [json.loads(line) for line in HARD.read_text(encoding="utf-8").splitlines()]
    sets = []
    for name, group in groupby(pages, key=lambda page: page["set"]):
        questions: list[LabelledQuestion] = []
        for number, page in enumerate(group):
            path = Path(page["language"], f"{number}.md")
            target = folder / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            heading = f"## {page['heading']}\n\n" if page["heading"] else ""
            target.write_text(f"# {page['title']}\n\n{heading}{page['text']}\n", encoding="utf-8")
            questions += [
                LabelledQuestion(
                    one["question"], str(path), _group(one["language"], one["language"] != page["language"])
                )
                for one in page["questions"]
            ]
        sets.append(QuestionSet(name, folder / name, tuple(questions)))
    return sets


def _shipped_questions(name: str) -> Iterator[LabelledQuestion]:
    for line in (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
        said = json.loads(line)
        yield LabelledQuestion(said["question"], said["source"], _group(said["language"], said["kind"] == "cross"))


def _group(language: str, is_across: bool) -> str:
    return f"{language} across" if is_across else language
