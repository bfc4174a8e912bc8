"""What the chats have seen: each question's end, for those who judge it, ask for its sources, or withdraw it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from contract import names
from contract.answer import FinalAnswer, Outcome
from contract.question import Question

READ_AT_ONCE = 500
SPOKEN = frozenset({Outcome.ANSWERED, Outcome.NOT_FOUND, Outcome.SMALL_TALK, Outcome.FAILED})
"""Ends that somebody may mean who speaks of the last answer."""


class History:
    """The ends that were shown, for `keep_days`; with 0, for a day and for no report."""

    def __init__(self, redis: Redis, keep_days: float) -> None:
        self._redis = redis
        self._keep_s = int(keep_days * names.SECONDS_A_DAY)

    def add(self, step: Pipeline, question: Question, final: FinalAnswer) -> None:
        """Keep an end as part of the transaction that says it was shown."""
        if final.outcome is Outcome.TOLD:
            return
        ttl_s, now_s = max(self._keep_s, names.SECONDS_A_DAY), time.time()
        step.set(names.shown_key(question.id), final.to_wire(), ex=ttl_s)
        if self._keep_s:
            step.zadd(names.HISTORY_KEY, {question.id: now_s})
            step.zremrangebyscore(names.HISTORY_KEY, "-inf", now_s - self._keep_s)
        if final.outcome in SPOKEN:
            step.set(names.last_shown_key(question.conversation), question.id, ex=ttl_s)
            step.set(names.last_shown_to_key(question.place, question.asker), question.id, ex=ttl_s)

    async def last(self, question: Question) -> FinalAnswer | None:
        """The answer that somebody means who says something of it here: the thread's last one, or else their own."""
        in_thread, to_asker = await self._redis.mget(
            names.last_shown_key(question.conversation), names.last_shown_to_key(question.place, question.asker)
        )
        question_id = in_thread or to_asker
        return await self.shown(str(question_id)) if question_id else None

    async def shown(self, question_id: str) -> FinalAnswer | None:
        """What was shown of this question."""
        return FinalAnswer.if_readable(await self._redis.get(names.shown_key(question_id)))


async def all_shown(redis: Redis, since_s: float = 0.0) -> AsyncIterator[tuple[float, FinalAnswer]]:
    """Every end that was shown since then and when that was, the oldest first. Raises RedisError."""
    ids: Any = await redis.zrangebyscore(names.HISTORY_KEY, since_s, "+inf", withscores=True)
    for start in range(0, len(ids), READ_AT_ONCE):
        batch = ids[start : start + READ_AT_ONCE]
        wires = await redis.mget([names.shown_key(question_id) for question_id, _ in batch])
        for (_, at_s), wire in zip(batch, wires, strict=True):
            final = FinalAnswer.if_readable(wire)
            if final is not None:
                yield at_s, final
