"""The rerankers: an order by a closer look."""

from __future__ import annotations

import pytest

from tests.workers.knowledge.word_embedder import WordEmbedder
from tests.workers.passages import hit, passage
from workers.knowledge.reranker import open_reranker


def test_a_passage_with_the_right_sentence_goes_first() -> None:
    """Of two passages that scored alike, the one with a sentence nearer to the question wins."""
    vague = hit(passage("Boats are red. Lamps are green. Gauges are heavy.", title="Things", number=1), score=0.5)
    right = hit(passage("Nothing here. The tide gauge has a green lamp.", title="Things", number=2), score=0.5)
    reranker = open_reranker("sentences", WordEmbedder())
    assert reranker is not None
    found = reranker.rerank("Which lamp has the tide gauge?", [vague, right])
    assert [one.passage.id for one in found] == [2, 1]
    assert found[0].score > found[1].score
    assert reranker.rerank("anything", []) == []


def test_no_reranker_is_the_default() -> None:
    """Unless one is named there is none, and a name that nobody has is refused."""
    assert open_reranker("none", WordEmbedder()) is None
    with pytest.raises(ValueError, match="no reranker is called 'best'"):
        open_reranker("best", WordEmbedder())
