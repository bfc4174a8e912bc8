"""The worker: an RQ worker that keeps many questions in hand in one process, and never forks.

The main thread takes jobs from the queue, no more than it has places for. Each question has a thread of its own, which
admits it, has it answered, and writes how it ended. The finisher's thread repeats what Redis did not take; the heart's
renews leases, enforces time limits and reaps.
Signals only set flags: RQ's own handler raises inside a blocked read, which strands the job that was being taken.
"""

from __future__ import annotations

import signal
import threading
import time
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any

import redis
import structlog
from rq import worker_registration
from rq.exceptions import DequeueTimeout
from rq.queue import Queue
from rq.serializers import JSONSerializer
from rq.worker import BaseWorker, WorkerStatus

from config.settings import Settings
from contract import names
from workers.admission import Admission, Taken
from workers.answerer import Answerer
from workers.assignment import Assignment, StopReason
from workers.commands import Suspension, obey
from workers.engine.engine import EngineError
from workers.engine.generation import EngineDiedError, GenerationCancelledError
from workers.finisher import Finisher
from workers.heart import STOP_GRACE_S, Heart, NoDeathPenalty
from workers.ledger import Ledger
from workers.places import Places
from workers.reaper import Reaper
from workers.registration import free_name

log = structlog.get_logger(__name__)

DEQUEUE_S = 1


class QuestionWorker(BaseWorker):  # type: ignore[misc]  # RQ is not typed
    """Takes questions from the queue, has them answered, and writes how they ended.

    `ready` tells whether the engine can take a question now; while it cannot, none is taken.
    `tell` adds what else is to be known of the worker to each heartbeat.
    """

    death_penalty_class = NoDeathPenalty

    def __init__(
        self,
        name: str,
        connection: redis.Redis,
        answerer: Answerer,
        settings: Settings,
        ready: Callable[[], bool],
        tell: Callable[[redis.client.Pipeline], object] = lambda _: None,
    ) -> None:
        self._lease_s = max(2, round(settings.worker.lease_s))
        super().__init__(
            [names.QUEUE],
            name=name,
            connection=connection,
            serializer=JSONSerializer,
            worker_ttl=self._lease_s,
            job_monitoring_interval=self._lease_s,
            log_job_description=False,
        )
        self._settings = settings.worker
        self._answerer = answerer
        self._ready = ready
        self._tell_more = tell
        self._queue: Queue = self.queues[0]
        self._ledger = Ledger(self, self._queue, settings.conversation)
        self._reaper = Reaper(connection, self._queue, self._ledger, settings.worker)
        self._places = Places(settings.worker.max_in_flight)
        self._finisher = Finisher(self._ledger, settings.worker, self._ended, self.give_up)
        self._heart = Heart(connection, self._queue, self._places, self._finisher, self._reaper, self._lease_s)
        self._stop = threading.Event()
        self._admission = Admission(connection, self._queue, self._ledger, settings.worker, self._lease_s, self._stop)
        self._force = threading.Event()
        self._dead = threading.Event()
        self._taken = 0
        self.turned_at_s = time.monotonic()
        self._suspension = Suspension(connection)
        self.exit_code = 0

    # --- life

    def work(self, *_: Any, **__: Any) -> bool:
        """Work until told to stop; `exit_code` says how it went. RQ's own arguments have no meaning here."""
        self._install_signal_handlers()
        self.register_birth()
        self.subscribe()
        self._reaper.reclaim_own(self.name)
        self.set_state(WorkerStatus.IDLE)
        threads = [
            threading.Thread(target=self._heart.run, args=(self._dead, self._tell), name="heart", daemon=True),
            threading.Thread(target=self._finisher.run, args=(self._dead,), name="finisher", daemon=True),
        ]
        for thread in threads:
            thread.start()
        log.info("the worker takes questions", worker=self.name, max_in_flight=self._settings.max_in_flight)
        try:
            while not self._stop.is_set():
                self._take_one()
        finally:
            self._drain()
            self._dead.set()
            for thread in threads:
                thread.join(timeout=2)
            self._leave()
        return True

    def give_up(self, reason: str) -> None:
        """Stop with a non-zero exit code: what is in hand goes back to the queue at once."""
        log.error("the worker gives up", worker=self.name, reason=reason)
        self.exit_code = 1
        self._stop.set()
        self._force.set()

    def _install_signal_handlers(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        signal.signal(signal.SIGTERM, self.request_stop)
        signal.signal(signal.SIGINT, self.request_stop)

    def request_stop(self, signum: int, _frame: FrameType | None) -> None:
        """Stop after what is in hand; a second SIGINT: at once."""
        if self._stop.is_set() and signum == signal.SIGINT:
            self._force.set()
        self._stop.set()

    def register_birth(self) -> None:
        """Take the name, from a process that died with it too; raises WorkerRunningError from one that lives."""
        free_name(self.connection, self.key, self.name, self._lease_s, self._stop.wait)
        super().register_birth()

    def _leave(self) -> None:
        try:
            with self.connection.pipeline() as pipeline:
                self._tell_more(pipeline)
                pipeline.execute()
            self.register_death()
            self.unsubscribe()
        except redis.RedisError as error:
            log.warning("Redis was not told that the worker is gone; its lease will tell", error=str(error))

    # --- taking

    def _take_one(self) -> None:
        """Take a job's id and leave the rest to its thread: what is done here, all other questions wait for."""
        self.turned_at_s = time.monotonic()
        if not self._ready() or self._suspension.holds():
            self._stop.wait(0.1)
            return
        if not self._places.take(DEQUEUE_S):
            return
        try:
            job_id = self._queue.lmove(self.connection, self._queue.key, DEQUEUE_S)[1].decode()
        except (DequeueTimeout, redis.RedisError) as error:
            self._places.free()
            self._rest(error)
            return
        self._taken += 1
        taken = Taken(job_id, self._taken, time.time())
        threading.Thread(target=self._take_on, args=(taken,), name=f"answer {job_id}", daemon=True).start()

    def _rest(self, why: Exception) -> None:
        if isinstance(why, redis.RedisError):
            log.warning("Redis does not answer; trying again", error=str(why))
            self._stop.wait(0.5)
        elif not self._places.held() and self.get_state() == WorkerStatus.BUSY:
            self.set_state(WorkerStatus.IDLE)

    # --- in the thread of the question

    def _take_on(self, taken: Taken) -> None:
        """Admit the job, unless the worker stops first, and answer it; where it was not admitted, free its place."""
        assignment = None
        try:
            while assignment is None:
                try:
                    if self._stop.is_set():
                        self._ledger.put_back(taken.job_id)
                        return
                    assignment = self._admission.admit(taken)
                    if assignment is None:
                        return
                except redis.RedisError as error:
                    log.warning("a job waits for Redis to be admitted", job=taken.job_id, error=str(error))
                    if self._stop.wait(0.5):
                        return  # it stands in the intermediate list, where a reaper finds it
        finally:
            if assignment is None:
                self._places.free()
        self._places.hold(assignment)
        self.executions[assignment.execution.id] = assignment.execution
        self._tell_busy()
        self._answer(assignment)

    def _tell_busy(self) -> None:
        if self.get_state() == WorkerStatus.BUSY:
            return
        try:
            self.set_state(WorkerStatus.BUSY)
        except redis.RedisError as error:
            # The next heartbeat tells it.
            log.debug("Redis was not told that the worker is busy", error=str(error))

    def _answer(self, assignment: Assignment) -> None:
        try:
            assignment.check()
            final, turn = self._answerer.answer(assignment)
        except GenerationCancelledError:
            self._finisher.stopped(assignment)
        except EngineDiedError as error:
            self._finisher.engine_died(assignment, str(error))
        except Exception as error:
            # One question's failure is its own.
            log.error("a question failed", question=assignment.question.id, error=f"{type(error).__name__}: {error}")
            reason = "".join(traceback.format_exception(error))
            self._finisher.failed(assignment, reason, worth_a_retry=not isinstance(error, EngineError))
        else:
            if assignment.stop_reason is StopReason.BEGUN_ANEW:  # what was answered is not the question any more
                self._finisher.stopped(assignment)
            else:
                self._finisher.answered(assignment, final, turn)

    def _ended(self, assignment: Assignment) -> None:
        self.executions.pop(assignment.execution.id, None)
        self._places.free(assignment)

    def _tell(self, pipeline: redis.client.Pipeline) -> None:
        """Add the worker's own heartbeat; all of its record, because the record may have expired."""
        pipeline.hset(self.key, mapping={**self.serialize(), "state": self.get_state()})
        worker_registration.register(self, pipeline)
        self.heartbeat(2 * self._lease_s, pipeline=pipeline)
        self._tell_more(pipeline)

    # --- commands

    def handle_payload(self, message: Any) -> None:
        """As RQ calls it, for whatever comes on the worker's channel."""
        obey(message, self._places, self._stop)

    # --- drain

    def _drain(self) -> None:
        """Finish what is in hand within the time there is, and hand the rest back in its order."""
        end_s = time.monotonic() + self._settings.drain_s
        if self._places.held() and not self._force.is_set():
            log.info("the worker finishes what is in hand", in_hand=len(self._places.held()))
        while self._places.taken and time.monotonic() < end_s and not self._force.is_set():
            self._force.wait(0.05)
            self.turned_at_s = time.monotonic()
        written_by_s = time.monotonic() + STOP_GRACE_S
        while self._places.taken and time.monotonic() < written_by_s:
            # Each goes to the front of the queue, so the newest first leaves the oldest in front.
            for assignment in sorted(self._places.held(), key=lambda one: one.number, reverse=True):
                assignment.stop(StopReason.HANDED_BACK)
                self._finisher.stopped(assignment)
            time.sleep(0.02)
        if self._places.taken:
            log.warning("Redis did not take back the questions in hand; their leases will", count=self._places.taken)
        self._finisher.finish()
