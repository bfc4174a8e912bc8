"""Grounding: an answer says what its passages say, or it gives way to the passage's own words.

The model's text is judged sentence by sentence while it grows. A sentence stays when every number and name in it
stands in one passage, and that passage is cited. The first one that does not ends the model's part: what stayed is
shown, followed by the best sentence of the passages where it does not say so already. Text once shown is never
taken back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from contract.answer import Citation
from workers.capability import Capability
from workers.evidence import Evidence, best
from workers.facts import FactSource, facts_of
from workers.knowledge.passage import Passage
from workers.knowledge.sentence import is_fence, is_list_item, split_prose
from workers.knowledge.words import CJK, content_terms

_OWN_WORDS = 0.3  # share of a sentence's words, beyond the question's, that a careless model may bring itself
_RESTATED = 0.3  # share of the question's words that its sentence has to take up: "30 days." may mean anything
_SAID = 0.6  # share of a sentence's words after which it counts as said
_MAX_CITATIONS = 3
_LOOP_WORDS, _LOOP_TIMES = 4, 3
_PROMPT_MARKS = re.compile(r"</?passage|^\W*(?:question|passages?|问题|资料)\s*\d*\s*[:：]", re.IGNORECASE)
_PREFIX = re.compile(r"\A\s*(?:answer|回答|答案?)\s*[:：]\s*", re.IGNORECASE)
_REFERENCE = re.compile(r"\s*(?:\[|【)(?:passage\s*|资料\s*)?\d{1,2}(?:\]|】)", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?。！？…][”’」』）)\"'*`]*\s*\Z")
_WORD = re.compile(rf"[{CJK}]|[^\W_]+")
_ENDS_OPEN = re.compile(r"[:：,，;；]$")


@dataclass(frozen=True, slots=True)
class Piece:
    """A sentence of an answer, with what stands between it and the one before."""

    joint: str
    text: str


class Grounding:
    """Judges one answer against the passages that the model was given and the evidence in them.

    `evidence` is ranked, the best first, and must not be empty.
    """

    def __init__(self, question: str, evidence: Sequence[Evidence], capability: Capability) -> None:
        self._question_terms = frozenset(content_terms(question))
        self._capability = capability
        self._best = best(evidence)
        self._citable = {one.hit.passage.id: one.hit.passage for one in evidence}
        self._evidence = evidence
        self._sources = {
            number: FactSource(f"{passage.label}\n{passage.text}") for number, passage in self._citable.items()
        }
        self._best_source = FactSource(
            "\n".join([self._best[0].hit.passage.label, *(one.sentence.text for one in self._best)])
        )
        self._kept: list[Piece] = []
        self._cited: dict[int, Passage] = {}
        self.failed = False

    @property
    def text(self) -> str:
        """What stayed of the answer so far."""
        return joined(self._kept)

    def take(self, answer: str, *, ended: bool) -> None:
        """Judge the answer's whole sentences so far, or all of it when it has ended; nothing is judged twice."""
        found = pieces(_without_references(_PREFIX.sub("", answer)))
        if not ended:
            # The last one may be growing still.
            found = found[:-1]
        for piece in found[len(self._kept) :]:
            if self.failed:
                return
            passage = self._support(piece.text)
            if passage is None or self._repeats(piece.text):
                self.failed = True
            else:
                self._kept.append(piece)
                self._cited.setdefault(passage.id, passage)

    def finish(self) -> tuple[str, tuple[Citation, ...]]:
        """The answer as it is to be shown, and what it rests on."""
        said = self.text
        if not said:
            return self.quote()
        if not self.failed or self._says(self._best[0].sentence.text):
            return said, tuple(self._citation(passage) for passage in list(self._cited.values())[:_MAX_CITATIONS])
        quoted, citations = self.quote()
        others = [self._citation(one) for one in self._cited.values() if one.id != self._best[0].hit.passage.id]
        return f"{said}\n\n{quoted}", (*citations, *others)[:_MAX_CITATIONS]

    def quote(self) -> tuple[str, tuple[Citation, ...]]:
        """The passage's own best words, as a quotation, and where they stand."""
        lines = [line for one in self._best for line in one.sentence.text.splitlines()]
        passage = self._best[0].hit.passage
        verbatim = "\n".join(one.sentence.verbatim for one in self._best)
        return "\n".join(f"> {line}" for line in lines), (Citation(passage.label, passage.place, verbatim),)

    def _support(self, sentence: str) -> Passage | None:
        """The passage that says so, if one does."""
        if _PROMPT_MARKS.search(sentence) or loops(sentence):
            return None
        facts = facts_of(sentence)
        own = [term for term in content_terms(sentence) if term not in self._question_terms]
        if not self._capability.reads_closely:
            return self._best[0].hit.passage if self._says_the_best(sentence, own) else None
        supported = [number for number, source in self._sources.items() if not source.missing(facts)]
        if not supported:
            return None
        return self._citable[max(supported, key=lambda number: _share(own, self._sources[number]))]

    def _says_the_best(self, sentence: str, own: Sequence[str]) -> bool:
        """Whether a careless model's sentence says what the best sentences say, and more than the question."""
        if self._best_source.missing(facts_of(sentence)) or _ENDS_OPEN.search(sentence):
            return False
        said = self._question_terms & set(content_terms(sentence))
        restates = len(said) >= _RESTATED * len(self._question_terms)
        return restates and bool(own) and _share(own, self._best_source) >= 1 - _OWN_WORDS

    def _repeats(self, sentence: str) -> bool:
        words = set(content_terms(sentence))
        return any(words and words == set(content_terms(piece.text)) for piece in self._kept)

    def _says(self, sentence: str) -> bool:
        wanted = content_terms(sentence)
        return _share(wanted, FactSource(self.text)) >= _SAID

    def _citation(self, passage: Passage) -> Citation:
        """The passage, with that sentence of it which the answer uses most."""
        said = FactSource(self.text)
        own = [one for one in self._evidence if one.hit.passage.id == passage.id]
        used = max(own, key=lambda one: (_share(content_terms(one.sentence.text), said), one.score))
        return Citation(passage.label, passage.place, used.sentence.verbatim)


def pieces(answer: str) -> list[Piece]:
    """The answer's sentences in order; a block of code is one. A list's marks and line breaks stay."""
    found: list[Piece] = []
    code: list[str] = []
    for number, line in enumerate(answer.strip().split("\n")):
        joint = "\n" if number else ""
        if code or is_fence(line):
            code.append(line)
            if len(code) > 1 and is_fence(line):
                found.append(Piece("\n", "\n".join(code)))
                code = []
            continue
        for at, part in enumerate(_sentences(line)):
            found.append(Piece(joint if at == 0 else _between(found[-1].text, part), part))
    if code:
        found.append(Piece("\n", "\n".join(code)))
    return found


def joined(kept: Sequence[Piece]) -> str:
    """The pieces as one text."""
    return "".join(piece.joint + piece.text for piece in kept).strip()


def loops(text: str) -> bool:
    """Whether the same few words come again and again, as a model's do that has lost its way."""
    words = _WORD.findall(text.casefold())
    seen: dict[tuple[str, ...], int] = {}
    for at in range(len(words) - _LOOP_WORDS + 1):
        run = tuple(words[at : at + _LOOP_WORDS])
        seen[run] = seen.get(run, 0) + 1
        if seen[run] >= _LOOP_TIMES:
            return True
    return False


def ends_sentence(text: str) -> bool:
    """Whether the text ends where a sentence does."""
    return bool(_SENTENCE_END.search(text))


def _without_references(answer: str) -> str:
    """Without the "[1]" that models put behind what they take from a passage; in code it may be an index."""
    return "\n".join(line if "`" in line else _REFERENCE.sub("", line) for line in answer.split("\n"))


def _sentences(line: str) -> list[str]:
    if not is_list_item(line):
        return split_prose(line)
    mark, _, rest = line.strip().partition(" ")
    first, *others = split_prose(rest) or [""]
    return [f"{mark} {first}".strip(), *others]


def _between(before: str, after: str) -> str:
    chinese = re.compile(f"[{CJK}，。！？；：”]")
    return "" if chinese.search(before[-1:]) and chinese.search(after[:1] + before[-1:]) else " "


def _share(wanted: Sequence[str], source: FactSource) -> float:
    return sum(term in source.terms for term in wanted) / len(wanted) if wanted else 1.0
