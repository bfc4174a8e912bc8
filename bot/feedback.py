"""What people think of answers: one verdict of each person on each answer, kept with the question and the answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from redis.asyncio import Redis

from bot.chat_event import FeedbackGiven
from contract import names
from contract.wire import WireRecord, need

READ_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Feedback(WireRecord):
    """One person's verdict, ``good`` or ``bad``, with what they wrote of it, if anything.

    `final` is the wire form of what they judged: the question, the answer, its passages, what made it. It is empty
    where that is not kept any more. `by` is the platform's id of the person, `at_s` the platform's time.
    """

    KIND: ClassVar[str] = "feedback"

    question_id: str
    platform: str
    by: str
    verdict: str
    at_s: float
    reason: str = ""
    final: str = ""

    def __post_init__(self) -> None:
        for name in ("question_id", "platform", "by", "verdict", "reason", "final"):
            need(getattr(self, name), str, name)
        need(self.at_s, (int, float), "at_s")


class FeedbackBook:
    """Keeps feedback in Redis for `keep_days`. The same event twice is once; a changed mind replaces the verdict."""

    def __init__(self, redis: Redis, keep_days: float) -> None:
        self._redis = redis
        self._keep_s = keep_days * names.SECONDS_A_DAY

    async def note(self, given: FeedbackGiven) -> Feedback:
        """Keep it, with what it judges. Raises RedisError."""
        final = await self._redis.get(names.shown_key(given.question_id))
        feedback = Feedback(
            given.question_id, given.platform, given.by, given.verdict, given.at_s, given.reason, str(final or "")
        )
        key = names.feedback_key(given.question_id, given.by)
        async with self._redis.pipeline(transaction=True) as step:
            step.set(key, feedback.to_wire(), ex=max(1, int(self._keep_s)))
            step.zadd(names.FEEDBACK_KEY, {key: given.at_s})
            step.zremrangebyscore(names.FEEDBACK_KEY, "-inf", given.at_s - self._keep_s)
            await step.execute()
        return feedback


async def all_feedback(redis: Redis, since_s: float = 0.0) -> AsyncIterator[Feedback]:
    """What people have said since then, the oldest first. Raises RedisError."""
    keys: Any = await redis.zrangebyscore(names.FEEDBACK_KEY, since_s, "+inf")
    for start in range(0, len(keys), READ_AT_ONCE):
        batch = [Feedback.if_readable(wire) for wire in await redis.mget(keys[start : start + READ_AT_ONCE])]
        found = [one for one in batch if one is not None]
        # Somebody may be quicker than we are at writing down what they see.
        shown = await redis.mget([names.shown_key(one.question_id) for one in found]) if found else []
        for one, final in zip(found, shown, strict=True):
            yield one if one.final else replace(one, final=str(final or ""))
