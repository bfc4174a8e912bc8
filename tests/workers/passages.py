"""Passages and a retriever for tests of what works on them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from workers.knowledge.base import DEFAULT_BASE
from workers.knowledge.passage import Passage
from workers.knowledge.retriever import Retriever, ScoredPassage
from workers.knowledge.words import content_terms, language_of, terms


def passage(text: str, *, title: str = "Page", heading: tuple[str, ...] = (), number: int = 1) -> Passage:
    """A passage of a page called after its title."""
    return Passage(number, f"docs/{title.lower()}.md", title, heading, language_of(text), text)


def hit(found: Passage, score: float = 0.8, dense: float = 0.6, coverage: float = 0.7) -> ScoredPassage:
    """A passage that was found."""
    return ScoredPassage(found, score, dense, coverage, 1, 1)


class ShelfRetriever(Retriever):
    """Finds the passages it was given, those with most of the question's words first; remembers what it was asked."""

    def __init__(self, passages: Sequence[Passage], dense: float = 0.6) -> None:
        self.passages = list(passages)
        self.dense = dense
        self.searched: list[str] = []

    def search(self, text: str, limit: int, bases: Collection[str] = (DEFAULT_BASE,)) -> list[ScoredPassage]:
        """Every passage, scored by the words that it shares with the text."""
        self.searched.append(text)
        wanted = content_terms(text)
        hits = []
        for one in self.passages:
            coverage = _share(wanted, one.label + one.text)
            dense = self.dense * coverage
            hits.append(hit(one, score=dense + 0.3 * coverage, dense=dense, coverage=coverage))
        return sorted(hits, key=lambda one: -one.score)[:limit]

    def similarity(self, text: str, others: Sequence[str]) -> list[float]:
        """The share of the text's words."""
        return [_share(content_terms(text), other) for other in others]


def _share(wanted: Sequence[str], text: str) -> float:
    held = set(terms(text))
    return sum(term in held for term in wanted) / max(1, len(wanted))
