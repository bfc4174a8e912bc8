"""The reaper: takes back the questions of workers that died with them.

RQ's own clean-up marks such jobs FAILED, in silence, and after minutes; this one puts them back at the front of the
queue within the lease, a bounded number of times, and then fails them with words to the asker.
"""

from __future__ import annotations

import time

import redis
import structlog
from rq.exceptions import NoSuchJobError
from rq.executions import Execution
from rq.job import Job
from rq.queue import Queue

from config.sections import WorkerSettings
from contract import names, scripts
from contract.answer import FinalAnswer, Outcome
from contract.question import Question
from workers.ledger import Ledger

log = structlog.get_logger(__name__)

# A job is in the intermediate list for the milliseconds between being taken and being admitted.
INTERMEDIATE_S = 4.0

# An execution whose lease has run out (or, at its worker's own start, any of that worker's) goes back to the queue.
# One that was reclaimed too often stays, so that failing it stays a single transaction.
RECLAIM = """
local wip, queue, job, execution, executions, worker_executions, reclaims = unpack(KEYS)
local composite, job_id, execution_id, expired_before, max_reclaims, ttl = unpack(ARGV)
local lease_end = redis.call('ZSCORE', wip, composite)
if not lease_end or tonumber(lease_end) > tonumber(expired_before) then return {'alive', 0} end
local status = redis.call('HGET', job, 'status')
local count = 0
if status == 'started' then
  count = tonumber(redis.call('GET', reclaims) or '0') + 1
  if count > tonumber(max_reclaims) then return {'exhausted', count} end
end
redis.call('ZREM', wip, composite)
redis.call('DEL', execution)
redis.call('ZREM', executions, execution_id)
redis.call('SREM', worker_executions, composite)
if status ~= 'started' then return {'over', 0} end
redis.call('SET', reclaims, count, 'EX', ttl)
redis.call('HSET', job, 'status', 'queued')
redis.call('LPUSH', queue, job_id)
return {'reclaimed', count}
"""

RETURN_TO_QUEUE = """
local intermediate, queue, job = unpack(KEYS)
if redis.call('LREM', intermediate, 0, ARGV[1]) == 0 then return 0 end
local status = redis.call('HGET', job, 'status')
if status == 'queued' then redis.call('LPUSH', queue, ARGV[1]) end
return 1
"""


class Reaper:
    """Looks for lost executions; every worker runs one, and each step is atomic, so that none is needed."""

    def __init__(self, connection: redis.Redis, queue: Queue, ledger: Ledger, settings: WorkerSettings) -> None:
        self._connection = connection
        self._queue = queue
        self._ledger = ledger
        self._settings = settings
        self._intermediate_since: dict[str, float] = {}

    def reap(self, own: set[str]) -> None:
        """One round. `own` are the composite keys of what this worker holds: their leases are its own business."""
        now = time.time()
        for raw in self._connection.zrangebyscore(self._queue.started_job_registry.key, 0, now):
            composite = _text(raw)
            if composite not in own:
                self.take_back(composite, expired_before_s=now)
        self._return_intermediate()
        for raw in self._connection.smembers(names.threads_key()):
            script, key_count, parts = scripts.unblock(_text(raw))
            self._connection.eval(script, key_count, *parts)

    def reclaim_own(self, worker_name: str) -> None:
        """At a worker's start: take back whatever a process of the same name held when it died, lease or no lease."""
        for raw in self._connection.smembers(f"rq:worker:{worker_name}:executions"):
            self.take_back(_text(raw), expired_before_s=float("inf"))

    def take_back(self, composite: str, expired_before_s: float) -> None:
        """Put one lost execution's job back into the queue, or fail it where that was done too often."""
        execution = Execution.from_composite_key(composite, self._connection)
        try:
            execution.refresh()
        except ValueError:
            log.debug("an execution's own record is gone already", job=execution.job_id)
        what, count = self._connection.eval(
            RECLAIM,
            7,
            self._queue.started_job_registry.key,
            self._queue.key,
            names.job_key(execution.job_id),
            execution.key,
            f"rq:executions:{execution.job_id}",
            execution.worker_executions_key,
            names.reclaims_key(execution.job_id),
            composite,
            execution.job_id,
            execution.id,
            "+inf" if expired_before_s == float("inf") else repr(expired_before_s),
            self._settings.max_reclaims,
            names.DELIVERY_TTL_S,
        )
        if _text(what) == "reclaimed":
            log.warning(
                "a question was taken back from a worker that died with it",
                question=execution.job_id,
                worker=execution.worker_name,
                time_number=count,
            )
        elif _text(what) == "exhausted":
            self._fail(execution, int(count) - 1)

    def _fail(self, execution: Execution, count: int) -> None:
        reason = f"{count + 1} workers in a row died while they answered this question; it is not tried again"
        log.error("a question failed", question=execution.job_id, reason=reason)
        try:
            job = Job.fetch(execution.job_id, connection=self._connection, serializer=self._queue.serializer)
        except NoSuchJobError:
            with self._connection.pipeline() as pipeline:
                execution.delete(Job(execution.job_id, connection=self._connection), pipeline)
                pipeline.execute()
            return
        self._ledger.fail(job, execution, reason, failed_end(self._connection, job))

    def _return_intermediate(self) -> None:
        now_s = time.monotonic()
        there = {_text(raw) for raw in self._connection.lrange(self._queue.intermediate_queue_key, 0, -1)}
        self._intermediate_since = {job_id: self._intermediate_since.get(job_id, now_s) for job_id in there}
        for job_id, since_s in self._intermediate_since.items():
            if now_s - since_s >= INTERMEDIATE_S:
                self._connection.eval(
                    RETURN_TO_QUEUE,
                    3,
                    self._queue.intermediate_queue_key,
                    self._queue.key,
                    names.job_key(job_id),
                    job_id,
                )


def failed_end(connection: redis.Redis, job: Job) -> tuple[Question, FinalAnswer] | None:
    """The apology for a job that failed, if it was a question that anybody asked."""
    question = Question.if_readable(connection.get(names.question_key(job.id)))
    if question is None:
        return None
    waited_ms = max(0, round(1000 * (time.time() - question.accepted_at_s)))
    return question, FinalAnswer(question.to_wire(), Outcome.FAILED, queued_ms=waited_ms, total_ms=waited_ms)


def _text(raw: object) -> str:
    return raw.decode() if isinstance(raw, bytes) else str(raw)
