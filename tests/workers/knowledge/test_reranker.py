"""The rerankers: an order by a closer look."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from config.loading import load_settings
from config.settings import Settings
from tests.workers.knowledge.word_embedder import WordEmbedder
from tests.workers.passages import hit, passage
from workers.knowledge.embedder import Vectors
from workers.knowledge.reranker import open_reranker
from workers.knowledge.rerankers.likelihood import LikelihoodReranker
from workers.knowledge.rerankers.word_vectors import WordVectors


class Synonyms(WordEmbedder):
    """Knows one pair of words for the same thing."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """The vessel is a ship, where it stands alone."""
        return super().embed(["ship" if text == "vessel" else text for text in texts])


class CountingEmbedder(WordEmbedder):
    """Remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Their vectors."""
        self.texts += texts
        return super().embed(texts)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("FENNEL_HOME", str(tmp_path))
    return load_settings()


def with_reranker(settings: Settings, **changes: str) -> Settings:
    """The settings with other ones of knowledge."""
    return settings.model_copy(update={"knowledge": settings.knowledge.model_copy(update=changes)})


def test_a_passage_with_the_right_sentence_goes_first(settings: Settings) -> None:
    """Of two passages that scored alike, the one with a sentence nearer to the question wins."""
    vague = hit(passage("Boats are red. Lamps are green. Gauges are heavy.", title="Things", number=1), score=0.5)
    right = hit(passage("Nothing here. The tide gauge has a green lamp.", title="Things", number=2), score=0.5)
    reranker = open_reranker(with_reranker(settings, reranker="sentences"), WordEmbedder())
    assert reranker is not None
    reranker.prepare()
    found = reranker.rerank("Which lamp has the tide gauge?", [vague, right])
    assert [one.passage.id for one in found] == [2, 1]
    assert reranker.rerank("anything", []) == []


def test_a_word_that_is_near_counts_where_no_word_is_the_same(settings: Settings) -> None:
    """Sentences alike, the passage goes first that has a word of the same meaning as the question's rare one."""
    far = hit(passage("The ferry is late.", title="Things", number=1), score=0.5)
    near = hit(passage("The vessel is late.", title="Things", number=2), score=0.5)
    reranker = open_reranker(with_reranker(settings, reranker="sentences"), Synonyms())
    assert reranker is not None
    assert [one.passage.id for one in reranker.rerank("ship late", [far, near])] == [2, 1]


def test_words_are_embedded_once() -> None:
    """The second question asks for the vectors of its own new words alone."""
    embedder = CountingEmbedder()
    vectors = WordVectors(embedder)
    first = vectors.of(["tide", "gauge"])
    again = vectors.of(["gauge", "lamp"])
    assert embedder.texts == ["gauge", "tide", "lamp"]
    assert np.array_equal(first["gauge"], again["gauge"])
    assert vectors.of([]) == {}


def test_words_that_are_kept_take_a_bounded_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the bound all are forgotten, and asked for again where they come again."""
    monkeypatch.setattr("workers.knowledge.rerankers.word_vectors._KEPT", 2)
    embedder = CountingEmbedder()
    vectors = WordVectors(embedder)
    for word in ("a1", "b1", "c1", "d1", "a1"):
        vectors.of([word])
    assert embedder.texts == ["a1", "b1", "c1", "d1", "a1"]
    assert len(vectors._kept) <= 3


def test_no_reranker_is_the_default(settings: Settings) -> None:
    """Unless one is named there is none."""
    assert open_reranker(settings, WordEmbedder()) is None


def test_the_likelihoods_model_is_the_engines_or_one_of_its_own(settings: Settings) -> None:
    """The built-in model reads English alone; another one is trusted with Chinese too. Opening loads nothing."""
    built_in = open_reranker(with_reranker(settings, reranker="likelihood"), WordEmbedder())
    other = open_reranker(with_reranker(settings, reranker="likelihood", reranker_model="/models/x"), WordEmbedder())
    assert isinstance(built_in, LikelihoodReranker)
    assert isinstance(other, LikelihoodReranker)
    assert sorted(built_in._languages) == ["en"]
    assert sorted(other._languages) == ["en", "zh"]
    assert built_in._process.pid is other._process.pid is None
