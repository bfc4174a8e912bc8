"""The rerankers: an order by a closer look."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.loading import load_settings
from config.settings import Settings
from tests.workers.knowledge.word_embedder import WordEmbedder
from tests.workers.passages import hit, passage
from workers.knowledge.reranker import open_reranker
from workers.knowledge.rerankers.likelihood import LikelihoodReranker


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
