"""The language model's reranker: a better order where the search is unsure, and the search's own where it cannot."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.workers.engine.conftest import engine_settings
from tests.workers.engine.tiny_models import make_model
from tests.workers.knowledge.base import KnowledgeBase
from tests.workers.passages import hit, passage
from workers.knowledge.document import KnowledgeError
from workers.knowledge.model_process import ModelProcess
from workers.knowledge.reranker import Reranker
from workers.knowledge.rerankers.likelihood import CLOSE, LOOKED_AT, LikelihoodReranker
from workers.knowledge.retriever import ScoredPassage
from workers.knowledge.retrievers.hybrid import HybridRetriever

QUESTION = "How long is a key valid?"


class Judge(ModelProcess):
    """Gives the passages likelihoods by their texts, and remembers what it was asked; or fails."""

    def __init__(self, likelihoods: dict[str, float] | None = None) -> None:
        self.likelihoods = likelihoods
        self.asked: list[list[str]] = []

    @property
    def about(self) -> Any:
        """Nothing to load."""
        return self._answered()

    def ask(self, action: str, value: object, timeout_s: float = 0.0) -> Any:
        """One number for each passage."""
        assert action == "likelihoods"
        assert isinstance(value, tuple)
        self.asked.append(value[1])
        found = self._answered()
        return [found[text.split("\n\n")[1]] for text in value[1]]

    def _answered(self) -> dict[str, float]:
        if self.likelihoods is None:
            raise KnowledgeError("the reranker died")
        return self.likelihoods


def found(*texts: str, step: float = 0.01) -> list[ScoredPassage]:
    """Passages of a page each, in the order of their scores."""
    return [
        hit(passage(text, title=f"T{number}", number=number), score=0.5 - step * number)
        for number, text in enumerate(texts, 1)
    ]


def order(reranker: LikelihoodReranker, hits: list[ScoredPassage]) -> list[str]:
    """The passages' texts after it."""
    return [one.passage.text for one in reranker.rerank(QUESTION, hits)]


def test_the_passage_that_makes_the_question_likely_goes_first() -> None:
    """Among passages in its language; those in another one, which the model was not asked of, keep their places."""
    judge = Judge({"One.": -3.0, "Two.": -1.0, "Three.": -2.0})
    hits = found("One.", "第二个。", "Two.", "Three.")
    assert order(LikelihoodReranker(judge, {"en"}), hits) == ["Two.", "第二个。", "Three.", "One."]
    assert judge.asked == [["T1\n\nOne.", "T3\n\nTwo.", "T4\n\nThree."]]


def test_the_model_is_not_asked_where_it_cannot_help() -> None:
    """A question in a language that it does not read, a lead that is clear, one document alone: the search's order."""
    judge = Judge({"One.": -3.0, "Two.": -1.0})
    assert order(LikelihoodReranker(judge, {"zh"}), found("One.", "Two.")) == ["One.", "Two."]
    clear = found("One.", "Two.", step=CLOSE + 0.001)
    assert order(LikelihoodReranker(judge, {"en"}), clear) == ["One.", "Two."]
    same = [hit(passage("One.", number=1), 0.5), hit(passage("Two.", number=2), 0.5)]
    assert order(LikelihoodReranker(judge, {"en"}), same) == ["One.", "Two."]
    assert order(LikelihoodReranker(judge, {"en"}), []) == []
    assert judge.asked == []


def test_only_the_first_few_are_looked_at() -> None:
    """What stands further down stays there."""
    texts = [f"Text {number}." for number in range(LOOKED_AT + 3)]
    judge = Judge({text: float(number) for number, text in enumerate(texts)})
    assert order(LikelihoodReranker(judge, {"en"}), found(*texts, step=0.001)) == [
        *reversed(texts[:LOOKED_AT]), *texts[LOOKED_AT:]
    ]  # fmt: skip


def test_a_model_that_fails_costs_the_order_and_not_the_answer() -> None:
    """The search's order stays, and for a while no question waits for the model."""
    judge = Judge(None)
    reranker = LikelihoodReranker(judge, {"en"})
    assert order(reranker, found("One.", "Two.")) == ["One.", "Two."]
    assert order(reranker, found("One.", "Two.")) == ["One.", "Two."]
    assert len(judge.asked) == 1
    unprepared = LikelihoodReranker(Judge(None), {"en"})
    unprepared.prepare()
    assert order(unprepared, found("One.", "Two.")) == ["One.", "Two."]


class Reversing(Reranker):
    """Puts the last first."""

    def rerank(self, text: str, hits: Sequence[ScoredPassage]) -> list[ScoredPassage]:
        """Backwards."""
        return list(reversed(hits))


def test_a_search_deals_its_scores_out_anew(tmp_path: Path) -> None:
    """Whatever the order, the first has the highest score and all scores are the search's: the gate knows no others."""
    kb = KnowledgeBase(tmp_path)
    for name, text in {"a.md": "The red gauge.", "b.md": "The red boat.", "c.md": "A green lamp."}.items():
        (tmp_path / name).write_text(text)
        kb.add(tmp_path / name)
    plain = kb.retriever.search("red gauge", 5)
    reranked = HybridRetriever(kb.store, kb.embedder, Reversing()).search("red gauge", 5)
    assert [one.passage.text for one in reranked] == [one.passage.text for one in reversed(plain)]
    assert [one.score for one in reranked] == [one.score for one in plain]


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelProcess]:
    folder = tmp_path_factory.mktemp("judge")
    make_model(folder / "model")
    made = ModelProcess("the reranker tiny", "likelihood", engine_settings(), folder, str(folder / "model"))
    yield made
    made.close()


def test_a_real_model_judges_in_a_process_of_its_own(process: ModelProcess) -> None:
    """It gives a number for each passage; killed, it is started anew at the next question."""
    asked = (QUESTION, ["A\n\nOne.", "B\n\nTwo."])
    first = process.ask("likelihoods", asked)
    assert len(first) == 2
    assert all(value < 0 for value in first)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert process.ask("likelihoods", asked) == pytest.approx(first)


def test_who_waits_too_long_for_its_turn_goes_on_without(process: ModelProcess) -> None:
    """While another question has the process, the next one waits no longer than it may, and the process lives on."""
    before = process.ask("likelihoods", (QUESTION, ["A\n\nOne."]))
    with process._lock, pytest.raises(KnowledgeError, match=r"^the reranker tiny had no time for 0 s$"):
        process.ask("likelihoods", (QUESTION, ["A\n\nOne."]), timeout_s=0.01)
    assert process.ask("likelihoods", (QUESTION, ["A\n\nOne."])) == pytest.approx(before)


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The reason is the model's, in a sentence."""
    missing = ModelProcess("the reranker x", "likelihood", engine_settings(), tmp_path, str(tmp_path / "none"))
    with pytest.raises(KnowledgeError, match=r"^the reranker x failed: engine.model names the folder .*none, which"):
        _ = missing.about
    missing.close()
