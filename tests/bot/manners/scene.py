"""A scene: a stage with a running bot and somebody who answers its questions."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import redis.asyncio
from redis.exceptions import RedisError

from bot.history import all_shown
from contract import names
from contract.answer import FinalAnswer, Outcome
from contract.question import Question
from tests.bot.answering import CITATION, echo, finish
from tests.bot.conftest import until
from tests.bot.manners.stage import CARER, Said, Stage

WITHIN_S = 15.0


class Scene:
    """What a test does and looks at."""

    def __init__(self, stage: Stage, client: redis.asyncio.Redis) -> None:
        self.stage = stage
        self.client = client

    async def say(self, text: str, person: str, channel: str, thread: Said | None = None, **how: Any) -> Said:
        """A person writes; `mention=False` without calling the bot."""
        said: Said = await self._do(lambda: self.stage.say(text, person, channel, thread, **how))
        return said

    async def tell(self, text: str, person: str) -> Said:
        """A person writes to the bot alone."""
        said: Said = await self._do(lambda: self.stage.tell(text, person))
        return said

    async def judge(self, said: Said, person: str, good: bool) -> None:
        """A person judges the answer."""
        await self._do(lambda: self.stage.judge(said, person, good))

    async def _do(self, act: Callable[[], Any]) -> Any:
        # The fakes have loops of their own, which must not wait for this one; the console's typist lives in it.
        return act() if self.stage.name == "console" else await asyncio.to_thread(act)

    async def reply(self, said: Said) -> str:
        """The one end that answers a message, once it is there."""
        await self.until(lambda: self.stage.ends(said))
        (end,) = self.stage.ends(said)
        return end

    async def ask(self, text: str, person: str, channel: str, thread: Said | None = None, **how: Any) -> Said:
        """Say it, and wait until its answer is there and is written down."""
        said = await self.say(text, person, channel, thread, **how)
        await self.reply(said)

        async def is_written() -> bool:
            shown = [Question.from_wire(final.question) async for _, final in all_shown(self.client)]
            return any(one.channel == said.channel and one.text.endswith(text) for one in shown)

        await self.until_async(is_written)
        return said

    async def hear(self, text: str, person: str, channel: str, thread: Said | None = None, **how: Any) -> str:
        """Say it, and give the answer."""
        return await self.reply(await self.say(text, person, channel, thread, **how))

    async def until(self, look: Callable[[], Any]) -> Any:
        """What `look` gives as soon as it is true."""

        async def found() -> Any:
            return look()

        return await self.until_async(found)

    async def until_async(self, look: Callable[[], Awaitable[Any]]) -> Any:
        """What `look` gives as soon as it is true, where it has to be awaited."""
        return await until(look, WITHIN_S)

    async def all_taken_in(self, count: int) -> None:
        """Wait until so many questions are open."""

        async def are_open() -> bool:
            return int(await self.client.zcard(names.open_key(self.stage.name))) >= count

        await self.until_async(are_open)

    async def all_is_quiet(self) -> None:
        """Wait until nothing is open any more and nothing waits to be looked at: what is silent then stays so."""
        if self.stage.needs_fence:
            await self.ask("all quiet?", CARER, self.stage.new_channel())
        await self.until(self.stage.all_delivered)

        async def is_open() -> bool:
            platform = self.stage.name
            keys = (names.open_key(platform), names.overheard_due_key(platform))
            return any([await self.client.zcard(key) for key in keys])

        end_s = time.monotonic() + WITHIN_S
        while await is_open():
            assert time.monotonic() < end_s, "something stays open"
            await asyncio.sleep(0.01)


async def answer_questions(url: str) -> None:
    """Answer whatever is asked, as its words say: "nothing" is not found, "hold" stays in the queue.

    What is overheard is answered where it says "sure".
    """
    async with redis.asyncio.Redis.from_url(url, decode_responses=True) as client:
        while True:
            try:
                await _answer_all(client)
            except RedisError:
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.005)


async def _answer_all(client: redis.asyncio.Redis) -> None:
    for question_id in await client.lrange(names.QUEUE_KEY, 0, -1):
        data = await client.hget(names.job_key(str(question_id)), "data")
        if data is None:
            continue
        question = Question.from_wire(json.loads(data)[2][0])
        if "hold" not in question.text:
            await client.hset(names.job_key(question.id), "status", "started")
            await finish(client, _answer(question))


def _answer(question: Question) -> FinalAnswer:
    unsure = question.heard == "ambient" and "sure" not in question.text
    if unsure or "nothing" in question.text:
        return FinalAnswer(question.to_wire(), Outcome.NOT_FOUND, total_ms=5)
    if "thanks" in question.text or "hmm" in question.text:
        reason = "thanks" if "thanks" in question.text else ""
        return FinalAnswer(question.to_wire(), Outcome.SMALL_TALK, reason=reason)
    if "evil" in question.text:
        return FinalAnswer(
            question.to_wire(), Outcome.ANSWERED, "@all <!channel> <at id=all></at> \u200bhi", (CITATION,)
        )
    return echo(question)
