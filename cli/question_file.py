"""A file of questions: one a line, or JSON lines, a JSON list, or CSV with a column of questions."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from contract.errors import FennelError
from contract.question import MAX_QUESTION_CHARACTERS

MAX_FILE_MB = 64
_COLUMNS = ("question", "text")


class QuestionFileError(FennelError):
    """The file cannot be read as questions; the text says why."""


def read_questions(file: Path, verdict: str = "") -> list[str]:
    """The questions of a file in their order, one for each line or row; a long one is cut to what a chat takes.

    `.jsonl`: strings, or objects with "question" or "text"; `.json`: a list of those; `.csv`: the column of that name,
    or the first one; anything else: one question a line. An empty line of text is an empty question.
    Of rows that say a verdict, as `fennel feedback export` writes them, only those with this one count, unless empty.
    """
    content = _decoded(file)
    suffix = file.suffix.casefold()
    if suffix == ".json":
        found = list(_of_json(file, content, verdict))
    elif suffix in (".jsonl", ".ndjson"):
        found = list(_of_json_lines(file, content, verdict))
    elif suffix == ".csv":
        found = list(_of_csv(file, content, verdict))
    else:
        found = content.splitlines()
    return [question[:MAX_QUESTION_CHARACTERS].strip() for question in found]


def _decoded(file: Path) -> str:
    try:
        if file.stat().st_size > MAX_FILE_MB * 1_000_000:
            raise QuestionFileError(f"{file} is larger than {MAX_FILE_MB} MB: no chat has so many questions")
        content = file.read_bytes()
    except OSError as error:
        raise QuestionFileError(f"{file} cannot be read: {error.strerror}") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        said = f"{file} is not UTF-8 (line {line}): `iconv -f GB18030 -t UTF-8` turns Chinese files into it"
        raise QuestionFileError(said) from error


def _of_json(file: Path, content: str, verdict: str) -> Iterator[str]:
    try:
        rows = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise QuestionFileError(f"{file} is no JSON: {error}") from error
    if not isinstance(rows, list):
        raise QuestionFileError(f"{file} holds no list of questions")
    for number, row in enumerate(rows, 1):
        if _counts(row, verdict):
            yield _question_of(file, f"entry {number}", row)


def _of_json_lines(file: Path, content: str, verdict: str) -> Iterator[str]:
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise QuestionFileError(f"{file}, line {number}, is no JSON: {error}") from error
        if _counts(row, verdict):
            yield _question_of(file, f"line {number}", row)


def _counts(row: Any, verdict: str) -> bool:
    return not verdict or not isinstance(row, dict) or row.get("verdict", verdict) == verdict


def _question_of(file: Path, place: str, row: Any) -> str:
    found = row if isinstance(row, str) else None
    if isinstance(row, dict):
        found = next((row[name] for name in _COLUMNS if isinstance(row.get(name), str)), None)
    if found is None:
        raise QuestionFileError(f'{file}, {place}, has no question: a string, or an object with "question" or "text"')
    return found


def _of_csv(file: Path, content: str, verdict: str) -> Iterator[str]:
    try:
        rows = list(csv.reader(io.StringIO(content, newline=""), strict=True))
    except csv.Error as error:
        raise QuestionFileError(f"{file} is no CSV: {error}") from error
    if not rows:
        return
    head = [name.strip().casefold() for name in rows[0]]
    column = next((head.index(name) for name in _COLUMNS if name in head), None)
    judged = head.index("verdict") if column is not None and "verdict" in head else None
    for row in rows if column is None else rows[1:]:
        other = verdict and judged is not None and row[judged : judged + 1] != [verdict]
        if row and not other:
            yield row[column or 0] if len(row) > (column or 0) else ""
