"""Evidence: the sentences of the found passages that answer a question best."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from workers.knowledge.retriever import Retriever, ScoredPassage
from workers.knowledge.sentence import Sentence, sentences
from workers.knowledge.words import content_terms, is_identifier, terms

# Measured on the handbook's questions: how often the answer stands in the two best sentences.
_OVERLAP_WEIGHT = 0.3
_AMOUNT_WEIGHT = 0.1
_IDENTIFIER_WEIGHT = 3.0  # against 1 for any other word
_QUOTED_SENTENCES = 2
_SECOND_WITHIN = 0.15  # a second sentence is quoted where it scores nearly as well as the best

_ASKS_AMOUNT = re.compile(
    r"\b(?:how (?:many|much|long|old|soon|quickly|fast|often|far|deep|strong|late|early|big|large|high|heavy|tall)|"
    r"when|what time|which (?:day|weekday|port|channel|status|version)|cost|price|limit|number)\b|"
    r"多少|多久|多长|多大|多高|多远|几|什么时候|何时|上限|期限|时间",
    re.IGNORECASE,
)
_HAS_AMOUNT = re.compile(
    r"\d|\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|half|once|twice|noon|midnight|"
    r"(?:mon|tues|wednes|thurs|fri|satur|sun)days?)\b|"
    r"[零一二两三四五六七八九十百千万半][个天年月周次小分秒元台人份级成倍]|(?:周|星期)[一二三四五六日天]",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """A sentence, the passage that it stands in, and how well it seems to answer."""

    sentence: Sentence
    hit: ScoredPassage
    place: int  # of the sentence in its passage
    score: float


def rank(question: str, hits: Sequence[ScoredPassage], retriever: Retriever) -> list[Evidence]:
    """Every sentence of the passages, the best first."""
    found = [(hit, place, one) for hit in hits for place, one in enumerate(sentences(hit.passage.text))]
    near = retriever.similarity(question, [f"{hit.passage.label}: {one.text}" for hit, _, one in found])
    wanted = content_terms(question)
    amount = bool(_ASKS_AMOUNT.search(question))
    ranked = [
        Evidence(one, hit, place, similarity + hit.score + _bonus(wanted, amount, one.text))
        for (hit, place, one), similarity in zip(found, near, strict=True)
    ]
    return sorted(ranked, key=lambda evidence: -evidence.score)


def best(ranked: Sequence[Evidence]) -> list[Evidence]:
    """What to quote: the best sentence, and the next best of the same passage where it is nearly as good."""
    first = ranked[0]
    near = [
        one
        for one in ranked[1:]
        if one.hit.passage.id == first.hit.passage.id and one.score >= first.score - _SECOND_WITHIN
    ]
    return sorted([first, *near[: _QUOTED_SENTENCES - 1]], key=lambda evidence: evidence.place)


def _bonus(wanted: Sequence[str], amount: bool, sentence: str) -> float:
    held = set(terms(sentence))
    weights = {term: _IDENTIFIER_WEIGHT if is_identifier(term) else 1.0 for term in wanted}
    overlap = sum(weights[term] for term in wanted if term in held) / sum(weights.values()) if wanted else 0.0
    return _OVERLAP_WEIGHT * overlap + (_AMOUNT_WEIGHT if amount and _HAS_AMOUNT.search(sentence) else 0.0)
