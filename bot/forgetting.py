"""Forgetting a person: whatever stands in Redis of what they asked, were answered, or thought of an answer."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from redis.asyncio import Redis

from bot.feedback import Feedback
from bot.inbox import Inbox
from contract import names
from contract.answer import FinalAnswer
from contract.errors import FennelError
from contract.question import Question
from contract.turn import Turn

SCANNED_AT_ONCE = 1_000
WAIT_S, LOOK_AGAIN_S = 10.0, 0.05
_PARTS = 3
WEB = "web"
"""The platform whose chat is kept by ourselves."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How much was removed. `unseen` counts answers that still wait to be shown: their words are there as yet."""

    questions: int = 0
    turns: int = 0
    feedback: int = 0
    unseen: int = 0


class Forgetting:
    """Forgets one person, named as ``PLATFORM:TENANT:PERSON``. Doing it again, or after a crash, is right."""

    def __init__(self, redis: Redis, person: str) -> None:
        parts = person.split(":", _PARTS - 1)
        if len(parts) != _PARTS or not all(parts):
            raise FennelError(f"{person!r} names nobody: PLATFORM:TENANT:PERSON, as `@fennel status` tells it")
        self._redis = redis
        self._platform, self._tenant, self._person = parts

    async def run(self, wait_s: float = WAIT_S) -> Forgotten:
        """Stop what is open, wait until that is shown, and remove everything. Raises RedisError."""
        inbox = Inbox(self._redis, max_queued=1, job_timeout_s=1)
        for question in await self._open():
            await inbox.stop(question)
        end_s = time.monotonic() + wait_s
        while (unseen := len(await self._open())) and time.monotonic() < end_s:  # noqa: ASYNC110 -- Redis tells nothing
            await asyncio.sleep(LOOK_AGAIN_S)
        feedback, questions = await self._forget_feedback(), await self._forget_questions()
        await self._forget_traces()
        await self._forget_posts()
        return Forgotten(questions, await self._forget_turns(), feedback, unseen)

    def _is_theirs(self, question: Question) -> bool:
        asked_by = (question.platform, question.tenant, question.asker)
        return asked_by == (self._platform, self._tenant, self._person)

    async def _open(self) -> list[Question]:
        """Their questions that nobody has seen the end of."""
        ids = await self._redis.zrange(names.open_key(self._platform), 0, -1)
        wires = await self._redis.mget([names.question_key(str(one)) for one in ids]) if ids else []
        return [question for wire in wires if (question := Question.if_readable(wire)) and self._is_theirs(question)]

    async def _forget_turns(self) -> int:
        removed = 0
        async for key in self._scan(names.turns_key(f"{_literal(self._platform)}:{_literal(self._tenant)}:*")):
            for wire in await self._redis.lrange(key, 0, -1):
                turn = Turn.if_readable(wire)
                if turn is not None and turn.asker == self._person:
                    removed += await self._redis.lrem(key, 0, str(wire))
        return removed

    async def _forget_feedback(self) -> int:
        removed = 0
        for key in await self._redis.zrange(names.FEEDBACK_KEY, 0, -1):
            wire = await self._redis.get(str(key))
            if wire and self._is_of_them(wire):
                async with self._redis.pipeline(transaction=True) as step:
                    step.delete(str(key))
                    step.zrem(names.FEEDBACK_KEY, str(key))
                    await step.execute()
                removed += 1
        return removed

    def _is_of_them(self, wire: str | bytes) -> bool:
        """Whether they gave it, or it judges what they were answered."""
        feedback = Feedback.if_readable(wire)
        if feedback is None:
            return False
        judged = _question_of_final(feedback.final)
        by_them = feedback.platform == self._platform and feedback.by == self._person
        return by_them or (judged is not None and self._is_theirs(judged))

    async def _forget_questions(self) -> int:
        """Remove every question of theirs with its job, its answer and why it was answered so."""
        removed = 0
        found: dict[str, Question] = {}
        async for key in self._scan(names.question_key("*")):
            question = Question.if_readable(await self._redis.get(key))
            if question is not None and self._is_theirs(question):
                found[question.id] = question
        async for key in self._scan(names.shown_key("*")):
            question = _question_of_final(await self._redis.get(key))
            if question is not None and self._is_theirs(question):
                found[question.id] = question
        for question in found.values():
            await self._forget_question(question)
            removed += 1
        return removed

    async def _forget_question(self, question: Question) -> None:
        """Remove it, but for a mark without words by which its event is recognised when it comes again."""
        mark = Question(
            **{
                name: getattr(question, name)
                for name in ("id", "platform", "tenant", "channel", "thread", "message_id")
            },
            asker="",
            asker_name="",
            text="",
            language="en",
            asked_at_s=question.asked_at_s,
            accepted_at_s=question.accepted_at_s,
        )
        async with self._redis.pipeline(transaction=True) as step:
            step.set(names.question_key(question.id), mark.to_wire(), xx=True, keepttl=True)
            step.delete(
                names.shown_key(question.id),
                names.why_key(question.id),
                names.job_key(question.id),
                # What these platforms' bots note of an answer while it is shown.
                names.wecom_answer_key(question.id),
                names.wecom_polled_key(question.id),
                names.weixin_answer_key(question.id),
                names.last_shown_to_key(question.place, question.asker),
            )
            step.zrem(names.HISTORY_KEY, question.id)
            await step.execute()
        last = names.last_shown_key(question.conversation)
        if await self._redis.get(last) == question.id:
            await self._redis.delete(last)

    async def _forget_traces(self) -> None:
        place, person = f"{_literal(self._platform)}:{_literal(self._tenant)}:*", _literal(self._person)
        async for key in self._scan(names.overheard_key(place)):
            for message_id, said in (await self._redis.hgetall(key)).items():
                if json.loads(said).get("sender") == self._person:
                    await self._redis.hdel(key, message_id)
        async for key in self._scan(names.displeased_key(place)):
            for whose in await self._redis.smembers(key):
                if str(whose).endswith(f":{self._person}"):
                    await self._redis.srem(key, str(whose))
        for pattern in (
            names.bucket_key("person", f"{place}:{person}"),
            names.notice_key(place, person),
            names.last_shown_to_key(place, person),
            names.bot_turns_key(place, person),
        ):
            async for key in self._scan(pattern):
                await self._redis.delete(key)

    async def _forget_posts(self) -> None:
        """What they said in the web page's rooms, what they were answered there, and that they came in."""
        if self._platform != WEB:
            return
        async for key in self._scan(names.web_posts_key("*")):
            room = key.removeprefix(names.web_posts_key(""))
            for post_id, value in (await self._redis.hgetall(key)).items():
                post = json.loads(value)
                if post["person"] == self._person:
                    async with self._redis.pipeline(transaction=True) as step:
                        step.hdel(key, post_id)
                        step.zrem(names.web_order_key(room), post_id)
                        await step.execute()
                elif self._person in post["verdicts"]:
                    del post["verdicts"][self._person]
                    await self._redis.hset(key, post_id, json.dumps(post, ensure_ascii=False))
        async for key in self._scan(names.web_session_key("*")):
            session = await self._redis.get(key)
            if session and json.loads(session)["id"] == self._person:
                await self._redis.delete(key)
        await self._redis.hdel(names.WEB_NAMES_KEY, self._person)

    async def _scan(self, pattern: str) -> AsyncIterator[str]:
        async for key in self._redis.scan_iter(match=pattern, count=SCANNED_AT_ONCE):
            yield str(key)


def _literal(text: str) -> str:
    """The text as a pattern that matches nothing else."""
    return re.sub(r"([*?\[\]\\^])", r"\\\1", text)


def _question_of_final(wire: str | bytes | None) -> Question | None:
    final = FinalAnswer.if_readable(wire)
    return Question.if_readable(final.question) if final else None
