"""Questions as a bot would put them into the queue."""

from __future__ import annotations

import itertools
import time
from typing import Any

import redis
from rq.job import Job, Retry
from rq.queue import Queue
from rq.serializers import JSONSerializer

from contract import names, scripts
from contract.answer import FinalAnswer, Outcome
from contract.question import Question, question_id

_numbers = itertools.count()


def make_question(text: str = "sleep:0", *, thread: str | None = None, accepted_at_s: float | None = None) -> Question:
    """A question of the test platform; each has a thread of its own unless one is given."""
    number = next(_numbers)
    now_s = time.time()
    return Question(
        id=question_id("test", "tenant", "channel", f"message-{number}"),
        platform="test",
        tenant="tenant",
        channel="channel",
        thread=thread if thread is not None else f"thread-{number}",
        message_id=f"message-{number}",
        asker="alice",
        asker_name="Alice",
        text=text,
        language="en",
        asked_at_s=now_s,
        accepted_at_s=accepted_at_s if accepted_at_s is not None else now_s,
    )


def job_for(question: Question, connection: redis.Redis, **changes: Any) -> Job:
    """RQ's job for a question, not yet in Redis."""
    wanted: dict[str, Any] = {
        "func": names.JOB_FUNCTION,
        "args": [question.to_wire()],
        "id": question.id,
        "origin": names.QUEUE,
        "timeout": 30,
        "result_ttl": names.RESULT_TTL_S,
        "failure_ttl": names.FAILURE_TTL_S,
        "description": question.id,
        "connection": connection,
        "serializer": JSONSerializer,
        **changes,
    }
    return Job.create(**wanted)


def ask(
    connection: redis.Redis,
    text: str = "sleep:0",
    *,
    thread: str | None = None,
    accepted_at_s: float | None = None,
    retries: int = 0,
    **changes: Any,
) -> Question:
    """Accept a question and queue its job, as the inbox does."""
    question = make_question(text, thread=thread, accepted_at_s=accepted_at_s)
    job = job_for(question, connection, **changes)
    if retries:
        job.retries_left = Retry(max=retries).max
    script, key_count, parts = scripts.accept(
        question, job.to_dict(), 10_000, FinalAnswer(question.to_wire(), Outcome.BUSY)
    )
    connection.eval(script, key_count, *parts)
    return question


def rq_queue(connection: redis.Redis) -> Queue:
    """The queue as RQ's tools see it."""
    return Queue(names.QUEUE, connection=connection, serializer=JSONSerializer)


def finals(connection: redis.Redis) -> list[FinalAnswer]:
    """All final answers of the test platform, in their order."""
    entries: Any = connection.xrange(names.answers_stream("test"))
    return [FinalAnswer.from_wire(fields[b"final"]) for _, fields in entries]


def wait_for_finals(connection: redis.Redis, count: int, timeout_s: float = 20) -> list[FinalAnswer]:
    """Wait until there are `count` final answers."""
    end_s = time.monotonic() + timeout_s
    while time.monotonic() < end_s:
        try:
            found = finals(connection)
        except redis.RedisError:
            found = []
        if len(found) >= count:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{len(finals(connection))} final answers instead of {count} within {timeout_s} s")
