"""What a search found, made fit to be read: nothing twice, and what stands together in one piece."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from workers.knowledge.retriever import ScoredPassage
from workers.knowledge.words import terms

_SAME_SHARE = 0.9  # of the words of two passages that say the same
_MOST_JOINED = 3  # passages that may become one


def without_duplicates(
    hits: Iterable[ScoredPassage], words: Mapping[int, Sequence[str]], limit: int
) -> list[ScoredPassage]:
    """The first passages, as many as wanted, without those that say the same as a better one.

    `words` are the passages' words by id, those of the label first. Where a number or a code is another, two passages
    do not say the same.
    """
    kept: list[tuple[ScoredPassage, frozenset[str]]] = []
    for hit in hits:
        if len(kept) == limit:
            break
        said = frozenset(words[hit.passage.id][len(terms(hit.passage.label)) :])
        if not any(_same(said, others) for _, others in kept):
            kept.append((hit, said))
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
    longest = max(len(words), len(others))
    if min(len(words), len(others)) < _SAME_SHARE * longest:
        return False
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
