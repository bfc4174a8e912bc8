"""The finisher: writes how each question ended, until Redis has it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

import redis
import structlog

from config.sections import WorkerSettings
from contract.answer import FinalAnswer, Outcome
from contract.turn import Turn
from health.tracing import record_span
from workers import metrics
from workers.assignment import Assignment, StopReason
from workers.ledger import Ledger

log = structlog.get_logger(__name__)

RETRY_REDIS_S = 0.5

Ending = tuple[Assignment, Callable[[], None]]


class Finisher:
    """Writes the end of an assignment in the thread that tells it, and repeats in its own what Redis did not take.

    `ended(assignment)` is called once the end is written, or is another worker's business; `give_up` for a defect.
    """

    def __init__(
        self,
        ledger: Ledger,
        settings: WorkerSettings,
        ended: Callable[[Assignment], None],
        give_up: Callable[[str], None],
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._ended = ended
        self._give_up = give_up
        self._unwritten: queue.SimpleQueue[Ending | None] = queue.SimpleQueue()

    # --- how it ended; the first to tell decides

    def answered(self, assignment: Assignment, final: FinalAnswer, turn: Turn | None) -> None:
        """With an answer."""
        self._settle(assignment, lambda: self._write_answer(assignment, final, turn))

    def stopped(self, assignment: Assignment) -> None:
        """For the reason that the assignment was stopped with."""
        self._settle(assignment, lambda: self._write_stop(assignment))

    def engine_died(self, assignment: Assignment, reason: str) -> None:
        """With the engine: another will be asked, unless that happened too often."""
        self._settle(assignment, lambda: self._write_reclaim(assignment, reason))

    def failed(self, assignment: Assignment, reason: str, worth_a_retry: bool) -> None:
        """With an error; `reason` is for the operator."""
        self._settle(assignment, lambda: self._write_failure(assignment, reason, worth_a_retry))

    # --- the thread

    def run(self, dead: threading.Event) -> None:
        """Repeat what Redis did not take, until `finish`, or until `dead` is set while Redis is away."""
        while (ending := self._unwritten.get()) is not None:
            if dead.wait(RETRY_REDIS_S):
                return
            self._write(*ending)

    def finish(self) -> None:
        """Let `run` return after what was told so far."""
        self._unwritten.put(None)

    def _settle(self, assignment: Assignment, write: Callable[[], None]) -> None:
        if assignment.settle():
            self._write(assignment, write)

    def _write(self, assignment: Assignment, write: Callable[[], None]) -> None:
        try:
            if assignment.stop_reason is not StopReason.LEASE_LOST:
                write()
            self._ended(assignment)
        except redis.RedisError as error:
            # Behind the others, so that one that Redis does not like holds up nobody.
            log.warning("an answer waits for Redis", question=assignment.question.id, error=str(error))
            self._unwritten.put((assignment, write))
        except Exception:
            log.exception("an ending could not be written", question=assignment.question.id)
            self._give_up("a defect of this program; the questions in hand go back to the queue")

    # --- what is written

    def _write_answer(self, assignment: Assignment, final: FinalAnswer, turn: Turn | None) -> None:
        self._ledger.finish(assignment, final, turn)
        metrics.count_answer(final)
        _trace(assignment, final)
        log.info(
            "a question was answered",
            question=assignment.question.id,
            outcome=final.outcome.value,
            queued_ms=final.queued_ms,
            total_ms=final.total_ms,
        )

    def _write_stop(self, assignment: Assignment) -> None:
        if assignment.stop_reason in (StopReason.HANDED_BACK, StopReason.BEGUN_ANEW):
            self._ledger.hand_back(assignment)
        elif assignment.stop_reason is StopReason.TIMEOUT:
            self._write_failure(assignment, f"took longer than its time limit of {assignment.job.timeout} s", True)
        else:
            end = assignment.question, _end_of(assignment, Outcome.STOPPED)
            self._ledger.fail(assignment.job, assignment.execution, "stopped on request", end)

    def _write_reclaim(self, assignment: Assignment, reason: str) -> None:
        count = self._ledger.count_reclaim(assignment.job.id)
        if count <= self._settings.max_reclaims:
            metrics.reclaims.inc()
            log.warning("a question goes back to the queue", question=assignment.question.id, reason=reason)
            self._ledger.hand_back(assignment)
        else:
            self._write_failure(assignment, f"the engine died with it {count} times; the last time: {reason}", False)

    def _write_failure(self, assignment: Assignment, reason: str, worth_a_retry: bool) -> None:
        if worth_a_retry and assignment.job.should_retry:
            metrics.retries.inc()
            log.warning("a question is tried again", question=assignment.question.id)
            self._ledger.retry(assignment, reason)
            return
        end = assignment.question, _end_of(assignment, Outcome.FAILED)
        self._ledger.fail(assignment.job, assignment.execution, reason, end)
        metrics.answers.labels(Outcome.FAILED.value).inc()


def _trace(assignment: Assignment, final: FinalAnswer) -> None:
    """From accepted to begun, to the first text, to the last."""
    accepted_at_s, question_id = assignment.question.accepted_at_s, assignment.question.id
    begun, first, last = (accepted_at_s + ms / 1000 for ms in (final.queued_ms, final.first_text_ms, final.total_ms))
    record_span(question_id, "wait in the queue", accepted_at_s, begun)
    record_span(question_id, "find and read", begun, first)
    record_span(question_id, "write", first, last, outcome=final.outcome.value)


def _end_of(assignment: Assignment, outcome: Outcome) -> FinalAnswer:
    question = assignment.question
    return FinalAnswer(
        question.to_wire(),
        outcome,
        queued_ms=max(0, round(1000 * (assignment.started_at_s - question.accepted_at_s))),
        total_ms=max(0, round(1000 * (time.time() - question.accepted_at_s))),
    )
