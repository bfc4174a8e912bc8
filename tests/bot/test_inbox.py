"""Taking questions in: in one step, once, in the order of their thread, and no more than are allowed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
from rq.job import Job
from rq.queue import Queue
from rq.serializers import JSONSerializer

from bot.inbox import Inbox, InboxError
from bot.job_fields import job_fields
from bot.redis_link import patient_client
from contract import names
from contract.answer import FinalAnswer, Outcome
from contract.question import Question
from tests.bot.answering import echo, finish, take
from tests.bot.conftest import make_question
from tests.valkey import ValkeyServer


@pytest.fixture
async def inbox(valkey: ValkeyServer) -> AsyncIterator[Inbox]:
    """An inbox with room for three."""
    async with patient_client(valkey.address) as client:
        yield Inbox(client, max_queued=3, job_timeout_s=300)


async def test_a_question_is_taken_in_once(inbox: Inbox, redis_client: redis.asyncio.Redis) -> None:
    """The same event again is recognised while its job waits, and after it has ended."""
    question = make_question()
    assert (await inbox.accept(question)).what == "queued"
    assert (await inbox.accept(question)).what == "duplicate"
    assert await take(redis_client) == question
    await finish(redis_client, echo(question))
    assert (await inbox.accept(question)).what == "duplicate"
    assert await redis_client.llen(names.QUEUE_KEY) == 0
    ttl_s = await redis_client.ttl(names.question_key(question.id))
    assert names.DEDUPE_TTL_S - 60 < ttl_s <= names.DEDUPE_TTL_S


async def test_many_deliveries_at_once_are_one_question(inbox: Inbox, redis_client: redis.asyncio.Redis) -> None:
    """Fifty deliveries of one event at the same time queue one job."""
    acceptances = await asyncio.gather(*(inbox.accept(make_question()) for _ in range(50)))
    assert sorted(one.what for one in acceptances) == ["duplicate"] * 49 + ["queued"]
    assert await redis_client.llen(names.QUEUE_KEY) == 1


async def test_more_than_are_allowed_are_told_so(inbox: Inbox, redis_client: redis.asyncio.Redis) -> None:
    """Beyond the limit a question gets its end at once, and no job; those that wait in a thread count too."""
    for number, thread in enumerate(["a", "a", "b"], start=1):
        assert (await inbox.accept(make_question(number, thread=thread))).before == number - 1
    refused = make_question(4)
    assert (await inbox.accept(refused)).what == "busy"
    assert not await redis_client.exists(names.job_key(refused.id))
    entries: Any = await redis_client.xrange(names.answers_stream("chat"))
    final = FinalAnswer.from_wire(entries[0][1]["final"])
    assert (final.outcome, Question.from_wire(final.question)) == (Outcome.BUSY, refused)


async def test_a_thread_goes_one_question_at_a_time(inbox: Inbox, redis_client: redis.asyncio.Redis) -> None:
    """A thread's second question is queued when its first has ended."""
    first, second = make_question(1, thread="t"), make_question(2, thread="t")
    assert (await inbox.accept(first)).what == "queued"
    assert (await inbox.accept(second)).what == "waiting"
    assert await take(redis_client) == first
    assert await take(redis_client) is None
    await finish(redis_client, echo(first))
    assert await take(redis_client) == second


async def test_a_refusal_is_said_once(inbox: Inbox, redis_client: redis.asyncio.Redis) -> None:
    """A sentence of our own ends the question without a job, and the same event is not told twice."""
    question = make_question()
    assert await inbox.say(question, Outcome.REFUSED, "too_long")
    assert not await inbox.say(question, Outcome.REFUSED, "too_long")
    assert await redis_client.xlen(names.answers_stream("chat")) == 1
    assert await redis_client.zscore(names.open_key("chat"), question.id)


async def test_a_question_is_taken_back_before_its_work_begins(inbox: Inbox, redis_client: redis.asyncio.Redis) -> None:
    """A waiting question can be ended, and its thread goes on; one that a worker has cannot."""
    first, second = make_question(1, thread="t"), make_question(2, thread="t")
    await inbox.accept(first)
    await inbox.accept(second)
    assert await inbox.take_back(first, Outcome.EXPIRED)
    assert await take(redis_client) == second
    assert not await inbox.take_back(second, Outcome.EXPIRED)


def test_the_job_is_what_rq_would_write(valkey: ValkeyServer) -> None:
    """Our hash has the fields that RQ's own Job writes, with the same values; the data differs in compression alone."""
    question = make_question()
    ours = job_fields(question, 300.0)
    with redis.Redis.from_url(valkey.url) as client:
        queue = Queue(names.QUEUE, connection=client, serializer=JSONSerializer)
        job = queue.create_job(
            names.JOB_FUNCTION,
            args=[question.to_wire()],
            timeout=300,
            result_ttl=names.RESULT_TTL_S,
            failure_ttl=names.FAILURE_TTL_S,
            description=question.id,
            job_id=question.id,
        )
        job.retries_left = names.RETRIES
        queue._prepare_for_queue(job)
        theirs = job.to_dict()
    assert ours.pop("data").encode() == zlib.decompress(theirs.pop("data"))
    for moment in ("created_at", "enqueued_at"):
        assert len(ours.pop(moment)) == len(theirs.pop(moment))
    assert ours == {name: str(getattr(value, "value", value)) for name, value in theirs.items()}


async def test_rq_reads_the_job(inbox: Inbox, valkey: ValkeyServer) -> None:
    """`Job.fetch`, `Queue.jobs` and `rq info` show the question as any other job."""
    question = make_question()
    await inbox.accept(question)
    with redis.Redis.from_url(valkey.url) as client:
        job = Job.fetch(question.id, connection=client, serializer=JSONSerializer)
        assert (job.func_name, job.args, job.kwargs) == (names.JOB_FUNCTION, [question.to_wire()], {})
        assert (job.timeout, job.result_ttl, job.description) == (300, names.RESULT_TTL_S, question.id)
        assert job.get_status() == "queued"
        assert Queue(names.QUEUE, connection=client, serializer=JSONSerializer).get_job_ids() == [question.id]
    rq = Path(sys.executable).with_name("rq")
    info = await asyncio.create_subprocess_exec(rq, "info", "-u", valkey.url, "--raw", stdout=subprocess.PIPE)
    shown, _ = await info.communicate()
    assert f"queue {names.QUEUE} 1" in shown.decode()


async def test_redis_away_for_a_moment_loses_nothing(make_valkey: Callable[[], ValkeyServer]) -> None:
    """A question that is accepted while Redis is killed and started again is accepted once."""
    server = make_valkey()
    async with patient_client(server.address) as client:
        inbox = Inbox(client, max_queued=10, job_timeout_s=300)
        await inbox.accept(make_question(1))
        server.kill()
        accepting = asyncio.create_task(inbox.accept(make_question(2)))
        await asyncio.to_thread(server.start)
        assert (await accepting).what in ("waiting", "duplicate")
        assert (await inbox.accept(make_question(2))).what == "duplicate"
        assert await client.zcard(names.open_key("chat")) == 2


async def test_redis_away_for_long_is_told_to_the_platform(make_valkey: Callable[[], ValkeyServer]) -> None:
    """When Redis does not come back in time, accepting raises, so that the event is delivered again."""
    server = make_valkey()
    async with patient_client(server.address) as client:
        inbox = Inbox(client, max_queued=10, job_timeout_s=300, give_up_after_s=0.2)
        server.kill()
        with pytest.raises(InboxError, match="took nothing in: it does not answer"):
            await inbox.accept(make_question())
