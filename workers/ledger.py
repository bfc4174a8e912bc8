"""The ledger: what is written to Redis about a job in hand, each entry in one transaction.

RQ's own finalising methods are not used, for two reasons: they run whatever callbacks and webhooks a job names, and
they only log a transaction that failed, so that a Redis that is away for a moment loses the answer.
Registries, results, counters and retries keep RQ's meaning (rq 3.0, `rq/worker/base.py`).
"""

from __future__ import annotations

import zlib
from contextlib import suppress
from datetime import UTC, datetime

import redis
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.queue import Queue
from rq.registry import FailedJobRegistry
from rq.results import Result
from rq.utils import utcformat
from rq.worker import BaseWorker

from config.sections import ConversationSettings
from contract import names, scripts
from contract.answer import FinalAnswer
from contract.question import Question
from contract.turn import Turn
from workers.assignment import Assignment

PUT_BEHIND = """
if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 1 then redis.call('RPUSH', KEYS[2], ARGV[1]) end
"""


class Ledger:
    """Writes the beginnings and ends of jobs. Every method raises redis.RedisError when nothing was written for sure.

    Writing an end twice is harmless: a question gets its answer once, by the script that gives it.
    """

    def __init__(self, worker: BaseWorker, queue: Queue, conversation: ConversationSettings) -> None:
        self._worker = worker
        self._queue = queue
        self._conversation = conversation
        self._connection: redis.Redis = worker.connection

    def admit(self, job: Job, lease_s: int) -> Execution:
        """Take a job from the intermediate list into the worker's hands, as it reads at that moment.

        An edit that came after the job was fetched still counted it as waiting.
        """
        with self._connection.pipeline() as pipeline:
            execution = Execution.create(job, lease_s, pipeline=pipeline, worker_name=self._worker.name)
            job.prepare_for_execution(self._worker.name, pipeline=pipeline)
            pipeline.persist(job.key)
            pipeline.lrem(self._queue.intermediate_queue_key, 1, job.id)
            pipeline.hget(job.key, "data")
            *_, data = pipeline.execute()
        if data:
            # RQ compresses what it writes; an edit is written plainly.
            with suppress(zlib.error):
                data = zlib.decompress(data)
            job.data = data
        return execution

    def finish(self, assignment: Assignment, final: FinalAnswer, turn: Turn | None) -> None:
        """End a job with its answer."""
        job, execution = assignment.job, assignment.execution
        job.ended_at = _now()
        ttl_s = job.get_result_ttl(names.RESULT_TTL_S)
        with self._connection.pipeline() as pipeline:
            # Not by the job's own way, which writes all two dozen fields again, the question compressed among them.
            status = JobStatus.FINISHED.value
            pipeline.hset(job.key, mapping={"status": status, "ended_at": utcformat(job.ended_at)})
            Result.create(
                job,
                Result.Type.SUCCESSFUL,
                ttl_s,
                # What operators see tells how it ended, and nothing of what was said.
                return_value={"outcome": final.outcome.value, "total_ms": final.total_ms},
                worker_name=self._worker.name,
                pipeline=pipeline,
                execution_id=execution.id,
                execution_started_at=execution.created_at,
                execution_ended_at=job.ended_at,
            )
            if ttl_s != 0:
                job.finished_job_registry.add(job, ttl_s, pipeline)
            job.cleanup(ttl_s, pipeline=pipeline, remove_from_queue=False)
            execution.delete(job=job, pipeline=pipeline)
            self._worker.increment_successful_job_count(pipeline=pipeline)
            self._worker.increment_total_working_time(job.ended_at - job.started_at, pipeline)
            self._end(pipeline, assignment.question, final, turn)
            pipeline.execute()

    def fail(
        self, job: Job, execution: Execution | None, reason: str, end: tuple[Question, FinalAnswer] | None
    ) -> None:
        """End a job without an answer; `reason` is for the operator, `end` for the asker."""
        job.ended_at = _now()
        stopped = end is not None and end[1].outcome == "stopped"
        with self._connection.pipeline() as pipeline:
            job.set_status(JobStatus.STOPPED if stopped else JobStatus.FAILED, pipeline=pipeline)
            job._handle_failure(
                reason,
                pipeline=pipeline,
                worker_name=self._worker.name,
                execution_id=execution.id if execution else None,
                execution_started_at=execution.created_at if execution else None,
                execution_ended_at=job.ended_at,
            )
            if execution:
                execution.delete(job=job, pipeline=pipeline)
            self._worker.increment_failed_job_count(pipeline=pipeline)
            pipeline.lrem(self._queue.intermediate_queue_key, 1, job.id)
            if end:
                self._end(pipeline, *end, None)
            pipeline.execute()

    def retry(self, assignment: Assignment, reason: str) -> None:
        """Put a job that failed back at the end of the queue, as its `Retry` says; its thread waits for it."""
        job, execution = assignment.job, assignment.execution
        job.ended_at = _now()
        with self._connection.pipeline() as pipeline:
            Result.create_failure(
                job, job.failure_ttl, exc_string=reason, worker_name=self._worker.name, pipeline=pipeline
            )
            execution.delete(job=job, pipeline=pipeline)
            self._worker.increment_failed_job_count(pipeline=pipeline)
            job.retry(self._queue, pipeline)
            pipeline.execute()

    def hand_back(self, assignment: Assignment) -> None:
        """Put a job back at the front of the queue, as if nobody had taken it: no retry is spent."""
        with self._connection.pipeline() as pipeline:
            assignment.execution.delete(job=assignment.job, pipeline=pipeline)
            pipeline.hset(assignment.job.key, "status", JobStatus.QUEUED.value)
            pipeline.lpush(self._queue.key, assignment.job.id)
            pipeline.execute()

    def count_reclaim(self, job_id: str) -> int:
        """Note that a job was lost with its engine or worker; returns how often that was so by now."""
        with self._connection.pipeline() as pipeline:
            pipeline.incr(names.reclaims_key(job_id))
            pipeline.expire(names.reclaims_key(job_id), names.DELIVERY_TTL_S)
            return int(pipeline.execute()[0])

    def put_back(self, job_id: str) -> None:
        """Put a job that was taken but not admitted back at the front."""
        with self._connection.pipeline() as pipeline:
            pipeline.lrem(self._queue.intermediate_queue_key, 1, job_id)
            pipeline.lpush(self._queue.key, job_id)
            pipeline.execute()

    def put_behind(self, job_id: str) -> None:
        """Put a job that was taken but not admitted behind the others; not twice, where a reaper was quicker."""
        self._connection.eval(PUT_BEHIND, 2, self._queue.intermediate_queue_key, self._queue.key, job_id)

    def refuse(self, job_id: str, reason: str) -> None:
        """Fail a job that cannot even be read."""
        with self._connection.pipeline() as pipeline:
            pipeline.lrem(self._queue.intermediate_queue_key, 1, job_id)
            pipeline.hset(names.job_key(job_id), mapping={"status": JobStatus.FAILED.value, "exc_info": reason})
            pipeline.expire(names.job_key(job_id), names.FAILURE_TTL_S)
            registry = FailedJobRegistry(self._queue.name, connection=self._connection)
            pipeline.zadd(registry.key, {job_id: _now().timestamp() + names.FAILURE_TTL_S})
            pipeline.execute()

    def _end(self, pipeline: redis.client.Pipeline, question: Question, final: FinalAnswer, turn: Turn | None) -> None:
        script, key_count, parts = scripts.finish(
            question, final, turn, self._conversation.ttl_s, self._conversation.max_tokens
        )
        pipeline.eval(script, key_count, *parts)


def _now() -> datetime:
    return datetime.now(UTC)
