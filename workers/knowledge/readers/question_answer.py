"""Question–answer pairs: each is a section of its own, so that it is found and cited alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from workers.knowledge.document import DocumentError, Section
from workers.knowledge.encoding import decode
from workers.knowledge.reader import Reader, Reading

_QUESTION_NAMES = ("question", "questions", "q", "问题", "问", "提问", "标准问题")
_ANSWER_NAMES = ("answer", "answers", "a", "答案", "答", "回答", "回复", "标准答案")


class JsonlPairsReader(Reader):
    """Reads JSON Lines whose objects have a question and an answer."""

    def read(self, content: bytes, name: str) -> Reading:  # noqa: ARG002 -- the interface names it
        """A section for each line; one wrong line is the reason why none is read, with its number."""
        pairs = []
        for number, line in enumerate(decode(content).split("\n"), 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError as error:
                raise DocumentError(f"line {number} is no JSON") from error
            columns = pair_columns(list(record)) if isinstance(record, dict) else None
            if columns is None:
                raise DocumentError(f"line {number} is no object with a question and an answer")
            values = [_text(value) for value in record.values()]
            pairs.append((values[columns[0]], values[columns[1]]))
        return Reading("", tuple(pair_sections(pairs, ())))


def pair_columns(names: Sequence[str]) -> tuple[int, int] | None:
    """Which columns hold the questions and the answers; None where there are no such two."""
    plain = [name.strip().casefold() for name in names]
    question = next((plain.index(name) for name in _QUESTION_NAMES if name in plain), None)
    answer = next((plain.index(name) for name in _ANSWER_NAMES if name in plain), None)
    return None if question is None or answer is None else (question, answer)


def pair_sections(pairs: Iterable[tuple[str, str]], heading: tuple[str, ...]) -> Iterator[Section]:
    """A section for each pair that has both."""
    for question, answer in pairs:
        asked = " ".join(question.split())
        blocks = tuple(block.strip() for block in answer.split("\n\n") if block.strip())
        if asked and blocks:
            yield Section((*heading, asked), blocks)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
