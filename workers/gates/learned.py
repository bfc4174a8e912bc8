"""The learned gate: a calibrated model of the passages found and of how the question is put.

A base whose team has run `fennel kb tune` has a model of its own in the home folder. A running worker takes a new one
at the next question: it looks at the file's time, which costs a few microseconds.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import structlog

from config.settings import Settings
from contract.turn import Turn
from workers.gate import Decision, Gate, Verdict
from workers.gates.model import SHIPPED_FILE, GateModel, GateModelError
from workers.gates.small_talk import asks, small_talk
from workers.knowledge.base import DEFAULT_BASE
from workers.knowledge.embedder import Embedder, open_embedder
from workers.knowledge.retriever import ScoredPassage

WORDING_EMBEDDER = "use-multilingual"

log = structlog.get_logger(__name__)


def model_file(folder: Path, base: str) -> Path:
    """Where the model of a knowledge base is, once it has been tuned."""
    return folder / f"{base}.json"


class GateModels:
    """The shipped model, and those of the bases that were tuned. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shipped = GateModel.read(SHIPPED_FILE)
        self._lock = threading.Lock()
        # By base: the file's time in ns, and the model that it held; None: it is no model.
        self._tuned: dict[str, tuple[int, GateModel | None]] = {}

    def of(self, bases: Collection[str]) -> tuple[GateModel, bool]:
        """The model for these bases and whether it was tuned. Several bases at once have the shipped one."""
        if len(bases) > 1:
            return self._shipped, False
        base = next(iter(bases), DEFAULT_BASE)
        try:
            changed_ns = model_file(self._folder, base).stat().st_mtime_ns
        except OSError:
            return self._shipped, False
        held = self._tuned.get(base)
        if held is None or held[0] != changed_ns:
            held = self._read(base, changed_ns)
        return (held[1], True) if held[1] else (self._shipped, False)

    def _read(self, base: str, changed_ns: int) -> tuple[int, GateModel | None]:
        with self._lock:
            held = self._tuned.get(base)
            if held is not None and held[0] == changed_ns:
                return held
            model: GateModel | None = None
            try:
                model = GateModel.read(model_file(self._folder, base))
                log.info("the gate took a tuned model", base=base, min_score=model.min_score)
            except (GateModelError, OSError) as error:
                log.warning("a tuned model of the gate cannot be used; the one before goes on", error=str(error))
                model = held[1] if held else None
            self._tuned[base] = (changed_ns, model)
            return self._tuned[base]


class LearnedGate(Gate):
    """Answers what scores at least the model's `min_score`; one that is given here, above 0, replaces it.

    `wording_embedder` gives the vectors that the wording is told from; `embedder_id` names the index's embedder.
    """

    def __init__(
        self, models: GateModels, wording_embedder: Embedder, embedder_id: str, min_score: float = 0.0
    ) -> None:
        self._models = models
        self._embedder = wording_embedder
        self._embedder_id = embedder_id
        self._min_score = min_score
        self._warned = False

    def decide(
        self, question: str, hits: Sequence[ScoredPassage], turns: Sequence[Turn], bases: Collection[str] = ()
    ) -> Decision:
        """Small talk by its words first; then the model's score; what is refused is told apart by its wording."""
        del turns  # what the thread adds to the question is in the search already
        model, tuned = self._models.of(bases)
        self._check(model)
        min_score = self._min_score or model.min_score
        talk = small_talk(question)
        if talk is not None:
            return Decision("small_talk", 0.0, (f"small_talk={talk or 'other'}",), talk, min_score)
        vector = self._embedder.embed([question])[0].astype(float)
        if not hits:
            worded = model.wording_of(question, vector)
            return Decision(refuse(question, worded), 0.0, ("hits=0", *_told(worded)), "", min_score)
        judged = model.judge(question, hits, vector)
        reasons = (
            f"dense={max(hit.dense for hit in hits):.3f}",
            f"coverage={max(hit.coverage for hit in hits):.3f}",
            *_told(judged.wording),
            *(f"by {pull}" for pull in judged.pulls),
            "model=tuned" if tuned else "model=shipped",
            f"min_score={min_score:.3f}",
        )
        verdict: Verdict = "answer" if judged.score >= min_score else refuse(question, judged.wording)
        sure = judged.score >= max(min_score, model.sure_score)
        return Decision(verdict, judged.score, reasons, "", min_score, sure)

    def _check(self, model: GateModel) -> None:
        if model.embedder != self._embedder_id and not self._warned:
            self._warned = True
            log.warning(
                "the gate's weights were learned with another embedder: run `fennel kb tune`",
                learned_with=model.embedder,
                embedder=self._embedder_id,
            )


def open_gate(settings: Settings, embedder: Embedder) -> LearnedGate:
    """The gate of the settings, for an index of this embedder."""
    return LearnedGate(
        GateModels(settings.gate_folder), wording_embedder(embedder), embedder.id, settings.gate.min_score
    )


def wording_embedder(embedder: Embedder) -> Embedder:
    """The embedder that the wording was learned with: small, always installed, and mostly the index's own."""
    other = open_embedder(WORDING_EMBEDDER)
    return embedder if embedder.id == other.id else other


def refuse(question: str, wording: Mapping[str, float]) -> Verdict:
    """What to call a text that is not answered, by the shares of its wording."""
    likely = max(wording, key=lambda one: wording[one])
    if likely == "question" or asks(question):
        return "not_found"
    return "small_talk" if likely == "small_talk" else "not_question"


def _told(wording: Mapping[str, float]) -> tuple[str, ...]:
    return tuple(f"{name}={share:.2f}" for name, share in wording.items())
