"""The answerer: from a question in hand to the final answer, whatever happens on the way."""

from __future__ import annotations

import functools
import importlib.metadata
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import redis

from config.settings import Settings
from contract import names
from contract.answer import Citation, FinalAnswer, Outcome
from contract.question import Question
from contract.turn import Turn
from contract.why import Why
from workers.assignment import Assignment
from workers.engine.generation import Generate, Publish
from workers.outbox import Outbox
from workers.prompt import turn_tokens


class Answered(Protocol):
    """What a pipeline gives back."""

    @property
    def outcome(self) -> Outcome:
        """How the question ended."""

    @property
    def text(self) -> str:
        """The answer, without its sources."""

    @property
    def citations(self) -> tuple[Citation, ...]:
        """What it rests on."""

    @property
    def reason(self) -> str:
        """Which fixed sentence says it, where the outcome alone does not tell; or empty."""

    @property
    def first_text_at_s(self) -> float | None:
        """When its first text was there (monotonic), if it had any."""

    @property
    def why(self) -> Why | None:
        """What the gate decided, where there was a gate."""


class Pipeline(Protocol):
    """From a question to its answer, without Redis or RQ; implemented in `workers/pipeline.py`."""

    def answer(self, question: Question, turns: Sequence[Turn], generate: Generate, publish: Publish) -> Answered:
        """Answer; `publish` is given the whole text so far about once a second."""


@dataclass(frozen=True)
class Answerer:
    """Gives each assignment its final answer, and the turn that its thread remembers."""

    connection: redis.Redis
    pipeline: Pipeline
    outbox: Outbox
    submit: Generate
    settings: Settings

    def answer(self, assignment: Assignment) -> tuple[FinalAnswer, Turn | None]:
        """Answer the question in hand; raises what the pipeline raises."""
        question = assignment.question
        started_at_s, started_s = time.time(), time.monotonic()
        queued_ms = max(0, round(1000 * (started_at_s - question.accepted_at_s)))
        if started_at_s - question.accepted_at_s > self.settings.queue.answer_ttl_s:
            return FinalAnswer(question.to_wire(), Outcome.EXPIRED, queued_ms=queued_ms, total_ms=queued_ms), None

        self.outbox.publish(question, "")
        turns = self._turns(question)
        answered = self.pipeline.answer(
            question,
            turns,
            lambda request: assignment.generate(self.submit, request),
            lambda text: self.outbox.publish(question, text),
        )
        if answered.why:
            self.outbox.explain(answered.why, self.settings.gate.why_ttl_s)
        ended_s = time.monotonic()
        first_text_s = answered.first_text_at_s if answered.first_text_at_s is not None else ended_s
        final = FinalAnswer(
            question=question.to_wire(),
            outcome=answered.outcome,
            text=answered.text,
            citations=answered.citations,
            reason=answered.reason,
            queued_ms=queued_ms,
            first_text_ms=queued_ms + round(1000 * (first_text_s - started_s)),
            total_ms=queued_ms + round(1000 * (ended_s - started_s)),
            versions=self.versions,
        )
        if answered.outcome is not Outcome.ANSWERED:
            return final, None
        turn = Turn(
            question.id,
            question.asker,
            question.asker_name,
            question.text,
            answered.text,
            question.accepted_at_s,
            place=turns[-1].place + 1 if turns else 0,
            tokens=turn_tokens(question.text, answered.text),
        )
        return final, turn

    @functools.cached_property
    def versions(self) -> Mapping[str, str]:
        """What makes the answers: kept with each of them, so that feedback says what it judged."""
        settings = self.settings
        return {
            "fennel": importlib.metadata.version("fennel"),
            "model": settings.engine.model,
            "dtype": settings.engine.dtype,
            "embedder": settings.knowledge.embedder,
        }

    def _turns(self, question: Question) -> list[Turn]:
        wanted = self.settings.conversation.max_turns
        if wanted == 0:
            return []
        wires = self.connection.lrange(names.turns_key(question.conversation), -wanted, -1)
        # Without a turn of another version the thread is understood all the same.
        return [turn for wire in wires if (turn := Turn.if_readable(wire))]
