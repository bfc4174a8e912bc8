"""Retrieval: what is found first, by meaning and by words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from config.environment import CHECKOUT
from tests.workers.knowledge.base import KnowledgeBase
from workers.knowledge.embedder import open_embedder

HANDBOOK = CHECKOUT / "examples" / "handbook"
QUESTIONS = CHECKOUT / "tests" / "data" / "retrieval" / "handbook.jsonl"


@pytest.fixture(scope="module")
def handbook(tmp_path_factory: pytest.TempPathFactory) -> KnowledgeBase:
    base = KnowledgeBase(tmp_path_factory.mktemp("kb"), open_embedder("use-multilingual"))
    base.add(HANDBOOK)
    return base


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_right_page_is_found_first_in_both_languages(handbook: KnowledgeBase, language: str) -> None:
    """Of the handbook's questions in a language, paraphrases among them, four in five find their page first."""
    lines = [json.loads(line) for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]
    asked = [line for line in lines if line["language"] == language and line["kind"] != "cross"]
    found = [handbook.retriever.search(line["question"], 1)[0].passage.source for line in asked]
    right = sum(source.endswith(line["source"]) for source, line in zip(found, asked, strict=True))
    assert right / len(asked) >= 0.8


def test_identifiers_are_found_by_their_words(handbook: KnowledgeBase) -> None:
    """A host name or an error code that stands in one page finds it, whatever the rest of the question."""
    for question, page in (
        ("What is vault-xm.internal?", "shujuku-beifen.md"),
        ("DUP-1", "baoxiao.md"),
        ("X-Tide-Retry-After", "api-quotas.md"),
    ):
        assert handbook.sources(question, 1) == [page]


def test_scores_tell_why_a_passage_was_found(handbook: KnowledgeBase) -> None:
    """The best hit says how near it is, how many of the question's words it holds, and its rank on both sides."""
    (hit,) = handbook.retriever.search("How long is a VPN key valid?", 1)
    assert hit.passage.label == "VPN › Renewing the key"
    assert (hit.dense_rank, hit.lexical_rank) == (1, 1)
    assert 0.4 < hit.dense < 1
    assert hit.coverage == pytest.approx(1.0)


def test_a_passage_without_the_words_keeps_its_nearness(tmp_path: Path) -> None:
    """Words in common add to a score; none in common take nothing away."""
    base = KnowledgeBase(tmp_path)
    path = tmp_path / "a.md"
    path.write_text("# Boat\n\nThe boat is red.\n")
    base.add(path)
    (hit,) = base.retriever.search("a green gauge", 5)
    assert (hit.coverage, hit.lexical_rank) == (0.0, 0)
    assert hit.score == pytest.approx(hit.dense)


@pytest.mark.parametrize("text", ["", "?", '"', '* OR NEAR( " :', "的", "😀", "a" * 4000, "\x00"])
def test_any_text_can_be_searched_for(handbook: KnowledgeBase, text: str) -> None:
    """What means something in the search language, or nothing anywhere, is only text."""
    assert len(handbook.retriever.search(text, 3)) == 3


def test_vectors_are_of_length_one() -> None:
    """The bundled embedder gives unit vectors; a text without a known character is near nothing."""
    vectors = open_embedder("use-multilingual").embed(["tide gauge", "潮位站", ""])
    lengths = (vectors**2).sum(axis=1)
    assert lengths[:2] == pytest.approx([1.0, 1.0], abs=1e-5)
    assert open_embedder("use-multilingual").embed([]).shape == (0, 512)
