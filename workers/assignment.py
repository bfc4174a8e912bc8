"""An assignment: one question in a worker's hands."""

from __future__ import annotations

import threading
import time
from enum import Enum

from rq.executions import Execution
from rq.job import Job

from contract.question import Question
from workers.engine.engine import GenerationRequest
from workers.engine.generation import Generate, Generation, GenerationCancelledError


class StopReason(Enum):
    """Why an assignment ends before its answer is there."""

    TIMEOUT = "timeout"  # it took longer than the job may
    STOPPED = "stopped"  # RQ's stop command
    HANDED_BACK = "handed back"  # the worker is stopping
    BEGUN_ANEW = "begun anew"  # the asker changed the question
    LEASE_LOST = "lease lost"  # another worker has it by now


class Assignment:
    """RQ's job and execution, the question in it, and the generation that answers it.

    `number` counts in the order in which the worker took them from the queue, `started_at_s` is when it did.
    """

    def __init__(
        self, job: Job, execution: Execution, question: Question, timeout_s: float, number: int, started_at_s: float
    ) -> None:
        self.job = job
        self.execution = execution
        self.question = question
        self.deadline_s = time.monotonic() + timeout_s
        self.number = number
        self.started_at_s = started_at_s
        self.stop_reason: StopReason | None = None
        self._generation: Generation | None = None
        self._settled = False
        self._lock = threading.Lock()

    def generate(self, submit: Generate, request: GenerationRequest) -> Generation:
        """Ask the engine, unless the assignment was stopped already."""
        generation = submit(request)
        with self._lock:
            self._generation = generation
            stopped = self.stop_reason is not None
        if stopped:
            generation.cancel()
        return generation

    def stop(self, reason: StopReason) -> None:
        """Give up: the engine stops, and the pipeline ends with GenerationCancelledError. The first reason counts."""
        with self._lock:
            if self.stop_reason is None:
                self.stop_reason = reason
            generation = self._generation
        if generation is not None:
            generation.cancel()

    def check(self) -> None:
        """Raise GenerationCancelledError if it was stopped."""
        if self.stop_reason is not None:
            raise GenerationCancelledError(self.stop_reason.value)

    def settle(self) -> bool:
        """True for the first who asks: the one that decides how the assignment ends."""
        with self._lock:
            first = not self._settled
            self._settled = True
            return first

    @property
    def settled(self) -> bool:
        """Whether its end is decided."""
        return self._settled
