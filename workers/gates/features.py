"""Features: what the gate sees of a question and of the passages found for it, as numbers.

Bare cosines do not tell what is in the documents from what is not: a passage about something near is as near as one
that answers. So most of them compare: the best passage with the next ones, the question's words with the passages'.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from workers.gates.small_talk import asks, chats
from workers.knowledge.retriever import ScoredPassage
from workers.knowledge.words import content_terms, size_words, terms

VERSION = 1
"""Rises with every change of what the features mean; weights that were learned for another version are not used."""

NAMES = (
    "dense",  # the best passage's nearness in meaning
    "dense_3",  # the mean of the three nearest
    "dense_lead",  # how far the nearest is above those further down
    "dense_lead_z",  # the same in their standard deviations
    "margin",  # how far the best document is ahead of the next
    "margin_passage",  # how far the best passage is ahead of the next
    "coverage",  # the best share of the question's words in one passage, rare words counting more
    "coverage_first",  # that of the first passage
    "coverage_lead",  # how far it is above those further down
    "score",  # what the first passage was ordered by
    "lexical_first",  # 1 / the first passage's rank by words
    "dense_first",  # 1 / its rank by meaning
    "agreed",  # both ranks are 1
    "terms",  # how many words the question has that say what it is about (log)
    "known",  # the share of them that stands in any passage found
    "covered",  # how many of them the best passage holds (log)
    "label",  # the share of them in the first passage's heading
    "latin_known",  # the share of its Latin words, names mostly, that stands in any passage found
    "latin_unknown",  # how many do not (log)
    "latin",  # how many there are (log)
    "length",  # words and Chinese characters (log)
    "length_2",  # its square: very short and very long ones are alike
    "question_mark",
    "asks",  # the shape of a question or request
    "chats",  # the shape of a remark to other people
    "digits",
    "person",  # you, he, we: somebody in the room
    "mine",  # my, our: somebody's own trouble
    "sentences",  # more than one part
)

_COMPARED = slice(4, 16)  # the passages "further down"
_SMALL_SPREAD = 0.02
_LARGE_Z = 8.0
_NO_OTHER_MARGIN = 0.1  # where nothing else was found: a base of one document
_READ = 8  # passages whose words count as known
_LATIN = re.compile(r"[a-z][a-z0-9_.+-]*", re.IGNORECASE)
_PERSON = re.compile(r"\b(?:i|you|he|she|we)\b|[你他她]", re.IGNORECASE)
_MINE = re.compile(r"我|\b(?:my|our)\b", re.IGNORECASE)
_BREAKS = re.compile(r"[，,。.;；!！]")


def features(question: str, hits: Sequence[ScoredPassage]) -> NDArray[np.float64]:
    """The features by `NAMES`; `hits` (the best first, 16 are best) must not be empty."""
    values = {**_of_passages(hits), **_of_words(question, hits), **_of_shape(question)}
    return np.array([values[name] for name in NAMES])


def _of_passages(hits: Sequence[ScoredPassage]) -> dict[str, float]:
    first = hits[0]
    dense = sorted((hit.dense for hit in hits), reverse=True)
    coverage = sorted((hit.coverage for hit in hits), reverse=True)
    others = [hit.score for hit in hits if hit.passage.source != first.passage.source]
    low_dense, low_coverage = _further_down(dense), _further_down(coverage)
    lead = dense[0] - float(np.mean(low_dense))
    return {
        "dense": dense[0],
        "dense_3": float(np.mean(dense[:3])),
        "dense_lead": lead,
        "dense_lead_z": min(_LARGE_Z, lead / (float(np.std(low_dense)) + _SMALL_SPREAD)),
        "margin": first.score - max(others) if others else _NO_OTHER_MARGIN,
        "margin_passage": first.score - hits[1].score if len(hits) > 1 else _NO_OTHER_MARGIN,
        "coverage": coverage[0],
        "coverage_first": first.coverage,
        "coverage_lead": coverage[0] - float(np.mean(low_coverage)),
        "score": first.score,
        "lexical_first": 1 / first.lexical_rank if first.lexical_rank else 0.0,
        "dense_first": 1 / first.dense_rank if first.dense_rank else 0.0,
        "agreed": float(first.lexical_rank == first.dense_rank == 1),
    }


def _further_down(values: Sequence[float]) -> Sequence[float]:
    return values[_COMPARED] if len(values) > 2 * _COMPARED.start else values[1:] or values


def _of_words(question: str, hits: Sequence[ScoredPassage]) -> dict[str, float]:
    words = content_terms(question)
    latin = [word for word in words if _LATIN.fullmatch(word)]
    read = {term for hit in hits[:_READ] for term in terms(f"{hit.passage.label} {hit.passage.text}")}
    label = set(terms(hits[0].passage.label))
    return {
        "terms": math.log1p(len(words)),
        "known": _share(words, read),
        "covered": math.log1p(len(words) * max(hit.coverage for hit in hits)),
        "label": _share(words, label),
        "latin_known": _share(latin, read),
        "latin_unknown": math.log1p(sum(word not in read for word in latin)),
        "latin": math.log1p(len(latin)),
    }


def _of_shape(question: str) -> dict[str, float]:
    length = math.log1p(size_words(question))
    return {
        "length": length,
        "length_2": length**2,
        "question_mark": float("?" in question or "？" in question),
        "asks": float(asks(question)),
        "chats": float(chats(question)),
        "digits": float(any(character.isdigit() for character in question)),
        "person": float(bool(_PERSON.search(question))),
        "mine": float(bool(_MINE.search(question))),
        "sentences": float(len(_BREAKS.findall(question)) > 1),
    }


def _share(words: Sequence[str], held: set[str]) -> float:
    return sum(word in held for word in words) / len(words) if words else 0.0
