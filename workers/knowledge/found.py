"""What a search found, made fit to be read: nothing twice, and what stands together in one piece."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from workers.knowledge.retriever import ScoredPassage
from workers.knowledge.words import terms

_SAME_SHARE = 0.9  # of the words of two passages that say the same
_MOST_JOINED = 3  # passages that may become one


def without_duplicates(hits: Sequence[ScoredPassage]) -> list[ScoredPassage]:
    """Leave out passages that say the same as a better one. Where a number or code is another, they do not."""
    kept: list[tuple[ScoredPassage, frozenset[str]]] = []
    for hit in hits:
        words = frozenset(terms(hit.passage.text))
        if not any(_same(words, others) for _, others in kept):
            kept.append((hit, words))
    return [hit for hit, _ in kept]


def joined(hits: Sequence[ScoredPassage]) -> list[ScoredPassage]:
    """Make one of passages that follow each other below the same heading; it has the best one's scores and id."""
    left = {hit.passage.id: hit for hit in hits}
    result: list[ScoredPassage] = []
    for hit in hits:
        if left.pop(hit.passage.id, None) is None:
            continue
        parts = [hit]
        while len(parts) < _MOST_JOINED:
            before, after = left.get(parts[0].passage.id - 1), left.get(parts[-1].passage.id + 1)
            if after is not None and _follow(parts[-1], after):
                parts.append(after)
            elif before is not None and _follow(before, parts[0]):
                parts.insert(0, before)
            else:
                break
        for part in parts:
            left.pop(part.passage.id, None)
        result.append(_as_one(hit, parts))
    return result


def _same(words: frozenset[str], others: frozenset[str]) -> bool:
    different = words ^ others
    if any(character.isdigit() for word in different for character in word):
        return False
    return len(different) <= (1 - _SAME_SHARE) * len(words | others)


def _follow(first: ScoredPassage, second: ScoredPassage) -> bool:
    one, other = first.passage, second.passage
    return (one.source, one.title, one.heading, one.page) == (other.source, other.title, other.heading, other.page)


def _as_one(hit: ScoredPassage, parts: Sequence[ScoredPassage]) -> ScoredPassage:
    if len(parts) == 1:
        return hit
    text = "\n\n".join(part.passage.text for part in parts)
    return replace(hit, passage=replace(hit.passage, text=text), coverage=max(part.coverage for part in parts))
