"""A worker so small that it fits a test: takes questions from the queue and ends them by the contract's own script."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import redis.asyncio
from redis.exceptions import RedisError

from bot.redis_link import plain_client
from config.redis_address import RedisAddress
from contract import names, scripts
from contract.answer import Citation, FinalAnswer, Outcome, PartialAnswer
from contract.question import Question
from contract.turn import Turn

Answer = Callable[[Question], FinalAnswer]
CITATION = Citation("Holidays", "handbook/holidays.md", "Everybody has 30 days.")


def echo(question: Question) -> FinalAnswer:
    """Answer with the question's own words."""
    return FinalAnswer(
        question.to_wire(),
        Outcome.ANSWERED,
        f"You asked: {question.text}",
        (CITATION,),
        queued_ms=1,
        first_text_ms=2,
        total_ms=3,
    )


async def take(client: redis.asyncio.Redis) -> Question | None:
    """Take the next question from the queue as a worker does, None where there is none."""
    question = await look(client)
    if question is not None:
        await client.lrem(names.QUEUE_KEY, 1, question.id)
    return question


async def look(client: redis.asyncio.Redis) -> Question | None:
    """Begin with the next question and leave it in the queue: if Redis is killed now, it is not lost."""
    question_id = await client.lindex(names.QUEUE_KEY, 0)
    if not isinstance(question_id, str):
        return None
    await client.hset(names.job_key(question_id), "status", "started")
    data = await client.hget(names.job_key(question_id), "data")
    assert isinstance(data, str)
    return Question.from_wire(json.loads(data)[2][0])


async def publish(client: redis.asyncio.Redis, question: Question, text: str) -> None:
    """Publish the answer as far as it is made."""
    partial = PartialAnswer(question.id, text)
    await client.xadd(names.partials_stream(question.platform), {"partial": partial.to_wire()})


async def finish(client: redis.asyncio.Redis, final: FinalAnswer) -> int:
    """End a question in the transaction that marks its job finished."""
    question = Question.from_wire(final.question)
    turn = Turn(question.id, question.asker, question.asker_name, question.text, final.text, question.asked_at_s)
    script, keys, arguments = scripts.finish(question, final, turn, 3600, 8_000)
    async with client.pipeline(transaction=True) as step:
        step.lrem(names.QUEUE_KEY, 1, question.id)
        step.hset(names.job_key(question.id), "status", "finished")
        step.eval(script, keys, *arguments)
        *_, told = await step.execute()
    return int(told)


@contextlib.asynccontextmanager
async def answering(
    address: RedisAddress, answer: Answer = echo, partials: tuple[str, ...] = ()
) -> AsyncIterator[None]:
    """Answer whatever is asked, with partial answers before, while the block runs."""

    async def work() -> None:
        # Whose settings these are does not matter: an answer comes from the test's own hand.
        async with plain_client(replace(address, user="", password="")) as client:
            while True:
                try:
                    question = await look(client)
                    if question is None:
                        await asyncio.sleep(0.005)
                        continue
                    for text in ("", *partials):
                        await publish(client, question, text)
                    await finish(client, answer(question))
                except RedisError:
                    await asyncio.sleep(0.05)

    task = asyncio.create_task(work())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
