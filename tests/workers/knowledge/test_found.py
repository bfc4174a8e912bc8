"""What was found: nothing twice, and what stands together in one piece."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tests.workers.passages import hit, passage
from workers.knowledge.found import joined, without_duplicates
from workers.knowledge.retriever import ScoredPassage
from workers.knowledge.words import terms

LONG = "the pump of the third gauge is cleaned with fresh water after every trip to the outer harbour"


def distinct(hits: Sequence[ScoredPassage], limit: int = 10) -> list[int]:
    words = {one.passage.id: terms(f"{one.passage.label}\n{one.passage.text}") for one in hits}
    return [one.passage.id for one in without_duplicates(hits, words, limit)]


def test_the_same_text_is_found_once() -> None:
    """A copy on another page, even with a word changed, gives way to the better one; another text stays."""
    first = hit(passage(LONG, title="Pumps", number=1))
    copy = hit(passage(f"{LONG}, please", title="Cleaning", number=2))
    other = hit(passage("Boats are painted in May.", number=3))
    assert distinct([first, copy, other]) == [1, 3]
    assert distinct([copy, first, other]) == [2, 3]
    assert distinct([first, copy, other], limit=1) == [1]


def test_what_differs_by_a_number_or_a_code_is_not_the_same() -> None:
    """Two rows of a list of codes are alike but for what matters."""
    one = hit(passage(f"E41: {LONG}", number=1))
    other = hit(passage(f"E42: {LONG}", number=2))
    assert distinct([one, other]) == [1, 2]


def test_passages_that_follow_each_other_become_one() -> None:
    """Parts of one section are joined in the order of the document, with the best one's score, id and rank."""
    best = hit(passage("two", number=5), score=0.9)
    before, after = hit(passage("one", number=4), score=0.5), hit(passage("three", number=6), score=0.7)
    far = hit(passage("nine", number=9), score=0.6)
    found = joined([best, after, far, before])
    assert [(one.passage.id, one.passage.text, one.score) for one in found] == [
        (5, "one\n\ntwo\n\nthree", 0.9),
        (9, "nine", 0.6),
    ]


def test_other_sections_and_documents_stay_apart() -> None:
    """Numbers that follow each other join nothing across a heading or a document."""
    one = hit(passage("one", number=4, heading=("A",)))
    two = hit(passage("two", number=5, heading=("B",)))
    three = hit(passage("three", number=6, title="Other", heading=("B",)))
    assert [item.passage.text for item in joined([one, two, three])] == ["one", "two", "three"]


def test_no_more_than_three_are_joined() -> None:
    """A long section does not become one endless passage."""
    hits = [hit(passage(f"part {number}", number=number)) for number in range(1, 8)]
    assert [one.passage.text.count("part") for one in joined(hits)] == [3, 3, 1]
    assert joined([replace(hits[0])]) == [hits[0]]
