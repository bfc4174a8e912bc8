"""Answers, whole: searched, judged, written by the bundled model or quoted, and compared with what they cite."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.gate_data import HANDBOOK, Line, chat_lines, products
from config.loading import load_settings
from contract.answer import Outcome
from contract.question import Question
from workers.engine.supervisor import EngineSupervisor
from workers.facts import FactSource, facts_of
from workers.gate import COMPARED_HITS
from workers.gates.learned import GateModels, LearnedGate, wording_embedder
from workers.knowledge.embedder import Embedder
from workers.knowledge.retriever import Retriever, ScoredPassage
from workers.knowledge.words import language_of
from workers.pipeline import Pipeline, PipelineAnswer

_AT_ONCE = 8
_DONE_BY = ("model", "both", "quote")


class _ProductRetriever(Retriever):
    """Searches one knowledge base, as a channel does that is bound to it."""

    def __init__(self, inner: Retriever, product: str) -> None:
        self._inner = inner
        self._product = product

    def search(self, text: str, limit: int, bases: Sequence[str] = ()) -> list[ScoredPassage]:  # type: ignore[override]
        """The product's passages."""
        return self._inner.search(text, limit, (self._product,))

    def similarity(self, text: str, others: Sequence[str]) -> list[float]:
        """As the other does."""
        return self._inner.similarity(text, others)


def answer_figures(retriever: Retriever, embedder: Embedder, count: int) -> dict[str, dict[str, Any]]:
    """Answer `count` answerable lines of all products, and as many as there are of the others' share."""
    lines = [line for product in (*products(), HANDBOOK) for line in chat_lines(product) if line.answered]
    lines = lines[:: max(1, len(lines) // count)][:count]
    settings = load_settings()
    gate = LearnedGate(GateModels(Path("/nonexistent")), wording_embedder(embedder), embedder.id)
    engine = EngineSupervisor(settings.engine, settings.models_folder, slots=_AT_ONCE)

    def answer(numbered: tuple[int, Line]) -> PipelineAnswer:
        number, line = numbered
        pipeline = Pipeline(_ProductRetriever(retriever, line.product), gate, settings)
        question = Question(
            f"q-{number}",
            "benchmark",
            "t",
            "c",
            str(number),
            "m",
            "u",
            "A",
            line.text,
            language_of(line.text),
            0.0,
            0.0,
        )
        return pipeline.answer(question, (), engine.submit, lambda text: None)

    engine.start()
    try:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            answers = list(pool.map(answer, enumerate(lines)))
    finally:
        engine.stop()
    return {name: _figures(retriever, lines, answers, name) for name in ("all", *_DONE_BY)}


def _figures(
    retriever: Retriever, lines: Sequence[Line], answers: Sequence[PipelineAnswer], done_by: str
) -> dict[str, Any]:
    answered = [
        (line, answer)
        for line, answer in zip(lines, answers, strict=True)
        if answer.outcome is Outcome.ANSWERED and done_by in ("all", answer.why.written_by)
    ]
    right = sum(any(one.source.endswith(line.source) for one in answer.citations) for line, answer in answered)
    true = sum(_is_grounded(retriever, line, answer) for line, answer in answered)
    return {
        "asked": len(lines),
        "answered": len(answered),
        "right_source": round(right / max(1, len(answered)), 3),
        "facts_in_cited_passage": round(true / max(1, len(answered)), 3),
    }


def _is_grounded(retriever: Retriever, line: Line, answer: PipelineAnswer) -> bool:
    """Whether each number and name of the answer stands in a passage that it cites, looked up anew."""
    cited = {(one.title, one.source) for one in answer.citations}
    hits = retriever.search(line.text, COMPARED_HITS, (line.product,))  # as the pipeline does
    passages = [hit.passage for hit in hits if (hit.passage.label, hit.passage.source) in cited]
    source = FactSource("\n".join(f"{passage.label}\n{passage.text}" for passage in passages))
    return not source.missing(facts_of(answer.text))
