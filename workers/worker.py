"""The worker: an RQ worker that keeps many questions in hand in one process, and never forks.

The main thread takes jobs from the queue, no more than it has places for. Each question has a thread of its own, which
admits it, has it answered, and writes how it ended. The finisher's thread repeats what Redis did not take; the heart's
renews leases, enforces time limits and reaps.
Signals only set flags: RQ's own handler raises inside a blocked read, which strands the job that was being taken.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

import psutil
import redis
import structlog
from rq import worker_registration
from rq.command import parse_payload
from rq.exceptions import DequeueTimeout, NoSuchJobError
from rq.job import Job
from rq.queue import Queue
from rq.serializers import JSONSerializer
from rq.suspension import is_suspended
from rq.timeouts import BaseDeathPenalty
from rq.utils import utcparse
from rq.worker import BaseWorker, WorkerStatus

from config.redis_clients import trouble
from config.settings import Settings
from contract import names
from contract.errors import FennelError
from contract.question import Question
from contract.wire import NewerWireError, WireError
from workers.answerer import Answerer
from workers.assignment import Assignment, StopReason
from workers.engine.engine import EngineError
from workers.engine.generation import EngineDiedError, GenerationCancelledError
from workers.finisher import Finisher
from workers.heart import STOP_GRACE_S, Heart
from workers.ledger import Ledger
from workers.reaper import Reaper, failed_end

log = structlog.get_logger(__name__)

DEQUEUE_S = 1
NEWER_WAITS_S = 1.0
"""How long the place of a question that only a newer worker reads is not given to another: no busy loop."""
NEWER_TOLD_EVERY_S = 60.0
STOP_REASONS = {
    "stop-job": StopReason.STOPPED,
    "stop-execution": StopReason.STOPPED,
    "hand-back": StopReason.BEGUN_ANEW,
}


@dataclass(frozen=True, slots=True)
class Taken:
    """A job that was taken from the queue and is not admitted yet; `number` counts in the order of the queue."""

    job_id: str
    number: int
    at_s: float


class WorkerRunningError(FennelError):
    """A worker of this name is running already."""


class NoDeathPenalty(BaseDeathPenalty):  # type: ignore[misc]  # RQ is not typed
    """Time limits are enforced by the heart thread: an alarm signal cannot reach the thread that answers."""

    def setup_death_penalty(self) -> None:
        """Nothing to set up."""

    def cancel_death_penalty(self) -> None:
        """Nothing to cancel."""


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
        self._address = settings.redis_address
        self._answerer = answerer
        self._ready = ready
        self._tell_more = tell
        self._queue: Queue = self.queues[0]
        self._ledger = Ledger(self, self._queue, settings.conversation)
        self._reaper = Reaper(connection, self._queue, self._ledger, settings.worker)
        self._places = threading.Semaphore(settings.worker.max_in_flight)
        self._assignments: dict[str, Assignment] = {}
        self._books = threading.Lock()
        self._finisher = Finisher(self._ledger, settings.worker, self._ended, self.give_up)
        self._heart = Heart(
            connection, self._queue, self._assignments, self._books, self._finisher, self._reaper, self._lease_s
        )
        self._stop = threading.Event()
        self._force = threading.Event()
        self._dead = threading.Event()
        self._taken = 0
        self.turned_at_s = time.monotonic()
        self._suspended = False
        self._suspension_asked_s = -1.0
        self._newer_told_s = -NEWER_TOLD_EVERY_S
        self.exit_code = 0

    # --- life

    def work(self, *_: Any, **__: Any) -> bool:
        """Work until told to stop; `exit_code` says how it went. RQ's own arguments have no meaning here."""
        self._install_signal_handlers()
        if not self._wait_for_redis():
            return True
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

    def _wait_for_redis(self) -> bool:
        told = False
        while not self._stop.is_set():
            try:
                self.connection.ping()
            except redis.RedisError as error:
                what = trouble(error, self._address)
                if not what.may_pass:
                    self.give_up(str(what))
                elif not told:
                    log.warning("waiting for Redis", error=str(what))
                    told = True
                self._stop.wait(0.5)
            else:
                return True
            self.turned_at_s = time.monotonic()
        return False

    def register_birth(self) -> None:
        """Take the name, from a process that died with it too; raises WorkerRunningError from one that lives."""
        held = {key.decode(): value.decode() for key, value in self.connection.hgetall(self.key).items()}
        if held and "death" not in held and self._is_alive(held):
            raise WorkerRunningError(
                f"the worker {self.name} is running already as process {held.get('pid')} on {held.get('hostname')}: "
                f"stop it first, or start this one under another name"
            )
        self.connection.delete(self.key)
        super().register_birth()

    def _is_alive(self, held: dict[str, str]) -> bool:
        if held.get("hostname") == socket.gethostname():
            return _is_process(int(held.get("pid") or 0), born=held.get("birth", ""))
        # A process elsewhere cannot be looked at, but one that lives renews its heartbeat within the lease.
        self._stop.wait(self._lease_s)
        return bool(self.connection.hget(self.key, "last_heartbeat") != held.get("last_heartbeat", "").encode())

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
        if not self._ready() or self._is_suspended():
            self._stop.wait(0.1)
            return
        if not self._places.acquire(timeout=DEQUEUE_S):
            return
        try:
            job_id = self._queue.lmove(self.connection, self._queue.key, DEQUEUE_S)[1].decode()
        except (DequeueTimeout, redis.RedisError) as error:
            self._places.release()
            self._rest(error)
            return
        self._taken += 1
        taken = Taken(job_id, self._taken, time.time())
        threading.Thread(target=self._take_on, args=(taken,), name=f"answer {job_id}", daemon=True).start()

    def _rest(self, why: Exception) -> None:
        if isinstance(why, redis.RedisError):
            log.warning("Redis does not answer; trying again", error=str(why))
            self._stop.wait(0.5)
        elif not self._assignments and self.get_state() == WorkerStatus.BUSY:
            self.set_state(WorkerStatus.IDLE)

    def _is_suspended(self) -> bool:
        # `rq suspend`; asked once a second at most, not once a job.
        now_s = time.monotonic()
        if now_s - self._suspension_asked_s > 1:
            self._suspension_asked_s = now_s
            try:
                self._suspended = bool(is_suspended(self.connection))
            except redis.RedisError:
                self._suspended = False
        return self._suspended

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
                    assignment = self._admit(taken)
                    if assignment is None:
                        return
                except redis.RedisError as error:
                    log.warning("a job waits for Redis to be admitted", job=taken.job_id, error=str(error))
                    if self._stop.wait(0.5):
                        return  # it stands in the intermediate list, where a reaper finds it
        finally:
            if assignment is None:
                self._places.release()
        self._answer(assignment)

    def _admit(self, taken: Taken) -> Assignment | None:
        """Take the job into our hands; None where it is gone or no question, and has its end."""
        try:
            job = Job.fetch(taken.job_id, connection=self.connection, serializer=JSONSerializer)
        except NoSuchJobError:
            self.connection.lrem(self._queue.intermediate_queue_key, 1, taken.job_id)
            return None
        except redis.RedisError:
            raise
        except Exception as error:
            # Whatever is in this job, its neighbours must not suffer.
            log.error("a job was refused", job=taken.job_id, reason=str(error))
            self._ledger.refuse(taken.job_id, f"the job cannot be read: {error}")
            return None
        try:
            question = _question_of(job)
        except WireError as error:
            if isinstance(error, NewerWireError) and self._leave_to_newer(job.id, str(error)):
                return None
            log.error("a job was refused", job=job.id, reason=str(error))
            # It failed in this queue, whatever it says of where it comes from.
            job.origin = self._queue.name
            self._ledger.fail(job, None, str(error), failed_end(self.connection, job))
            return None
        execution = self._ledger.admit(job, self._lease_s)
        question = _question_of(job)
        timeout_s = float(job.timeout or self._settings.job_timeout_s)
        assignment = Assignment(job, execution, question, timeout_s, taken.number, taken.at_s)
        with self._books:
            self._assignments[execution.id] = assignment
            self.executions[execution.id] = execution
        if self.get_state() != WorkerStatus.BUSY:
            self.set_state(WorkerStatus.BUSY)
        return assignment

    def _leave_to_newer(self, job_id: str, reason: str) -> bool:
        """Put a question that only a newer worker reads behind the others; False for what nobody has asked."""
        if not self.connection.exists(names.question_key(job_id)):
            return False
        self._ledger.put_behind(job_id)
        now_s = time.monotonic()
        if now_s - self._newer_told_s > NEWER_TOLD_EVERY_S:
            self._newer_told_s = now_s
            log.error("questions wait for a newer worker: start this one anew", question=job_id, reason=reason)
        # The place and not the question is held: where nobody comes for it, the bot may end it.
        self._stop.wait(NEWER_WAITS_S)
        return True

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
        with self._books:
            self._assignments.pop(assignment.execution.id, None)
            self.executions.pop(assignment.execution.id, None)
        self._places.release()

    def _tell(self, pipeline: redis.client.Pipeline) -> None:
        """Add the worker's own heartbeat; all of its record, because the record may have expired."""
        pipeline.hset(self.key, mapping={**self.serialize(), "state": self.get_state()})
        worker_registration.register(self, pipeline)
        self.heartbeat(2 * self._lease_s, pipeline=pipeline)
        self._tell_more(pipeline)

    # --- commands

    def handle_payload(self, message: Any) -> None:
        """RQ's commands: stop one job or execution and no other, or shut down. And ours: begin a job anew."""
        try:
            payload = parse_payload(message)
            command = payload.get("command")
        except (ValueError, AttributeError, KeyError, TypeError, json.JSONDecodeError) as error:
            log.warning("a command was not understood", error=str(error))
            return
        if command == "shutdown":
            self._stop.set()
        elif command in STOP_REASONS:
            for assignment in self._held():
                if payload.get("execution_id", assignment.execution.id) == assignment.execution.id and (
                    payload.get("job_id") == assignment.job.id
                ):
                    assignment.stop(STOP_REASONS[command])

    # --- drain

    def _drain(self) -> None:
        """Finish what is in hand within the time there is, and hand the rest back in its order."""
        end_s = time.monotonic() + self._settings.drain_s
        if self._assignments and not self._force.is_set():
            log.info("the worker finishes what is in hand", in_hand=len(self._assignments))
        while self._in_hand() and time.monotonic() < end_s and not self._force.is_set():
            self._force.wait(0.05)
            self.turned_at_s = time.monotonic()
        written_by_s = time.monotonic() + STOP_GRACE_S
        while self._in_hand() and time.monotonic() < written_by_s:
            # Each goes to the front of the queue, so the newest first leaves the oldest in front.
            for assignment in sorted(self._held(), key=lambda one: one.number, reverse=True):
                assignment.stop(StopReason.HANDED_BACK)
                self._finisher.stopped(assignment)
            time.sleep(0.02)
        if self._in_hand():
            log.warning("Redis did not take back the questions in hand; their leases will", count=self._in_hand())
        self._finisher.finish()

    def _held(self) -> list[Assignment]:
        with self._books:
            return list(self._assignments.values())

    def _in_hand(self) -> int:
        """Places that are taken, also by jobs that are just being admitted."""
        return self._settings.max_in_flight - self._places._value


def _question_of(job: Job) -> Question:
    """The question in a job; raises WireError for anything else, whatever function it names."""
    try:
        function, arguments, keywords = job.func_name, job.args, job.kwargs
    except Exception as error:
        raise WireError(f"the job cannot be read: {error}") from error
    if function != names.JOB_FUNCTION:
        raise WireError(f"the job names {function!r}; this worker runs {names.JOB_FUNCTION!r} and nothing else")
    # RQ takes whatever stands there for the arguments.
    if not isinstance(arguments, list) or len(arguments) != 1 or not isinstance(arguments[0], str) or keywords:
        raise WireError("the job's arguments are not one question")
    question = Question.from_wire(arguments[0])
    if question.id != job.id:
        raise WireError("the job's id is not its question's")
    return question


def _is_process(pid: int, born: str) -> bool:
    """Whether the process that registered at `born` (as RQ writes times) is still there, not another of its pid."""
    try:
        return pid != os.getpid() and psutil.Process(pid).create_time() <= utcparse(born).timestamp() + 1
    except (psutil.Error, ValueError):
        return False
