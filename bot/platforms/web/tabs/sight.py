"""What the operators' tab sees: read from Redis and asked of the programs, at most once for all who look."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from bot.history import all_shown
from bot.platforms.web.tabs.trends import MONTH_S, Ended
from bot.redis_link import plain_client
from bot.registry import PLATFORMS
from config.settings import Settings
from contract import names
from contract.answer import FinalAnswer
from contract.question import Question
from contract.why import Why
from health.overview import look_inside

FRESH_FOR_S = 1.0
LAST_QUESTIONS = 30
_ASKED_BY_COMMAND = "ask"


@dataclass(frozen=True, slots=True)
class Seen:
    """A question, what was shown as its end, and what the gate made of it, where there is that."""

    question: Question
    final: FinalAnswer | None = None
    why: Why | None = None


class Sight:
    """Reads; raises RedisError where Redis is away."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Redis | None = None
        self._reading = asyncio.Lock()
        self._now: dict[str, Any] = {}
        self._now_at_s = float("-inf")
        self._ended: dict[str, Ended] = {}

    async def now(self) -> dict[str, Any]:
        """How everything stands, as `health.overview.look_inside` tells it."""
        async with self._reading:
            if time.monotonic() - self._now_at_s > FRESH_FOR_S:
                self._now = await asyncio.to_thread(look_inside, self._settings)
                self._now_at_s = time.monotonic()
            return self._now

    async def ended(self) -> list[Ended]:
        """The ends of the last month, the oldest first; what was read before is not read again."""
        async with self._reading:
            first_s = time.time() - MONTH_S
            self._ended = {name: one for name, one in self._ended.items() if one.at_s >= first_s}
            newest_s = max((one.at_s for one in self._ended.values()), default=first_s)
            async for at_s, final in all_shown(self._redis, newest_s):
                question_id = Question.from_wire(final.question).id
                self._ended[question_id] = Ended(at_s, final.outcome, final.total_ms / 1000)
            return sorted(self._ended.values(), key=lambda one: one.at_s)

    async def last_questions(self) -> list[Seen]:
        """Those that are open now, and those that ended last; the newest first."""
        found: dict[str, tuple[Question, FinalAnswer | None]] = {one.id: (one, None) for one in await self._open()}
        found |= {question.id: (question, final) for question, final in await self._last_ended()}
        newest = sorted(found.values(), key=lambda one: -one[0].accepted_at_s)[:LAST_QUESTIONS]
        whys = await self._redis.mget([names.why_key(question.id) for question, _ in newest]) if newest else []
        return [
            Seen(question, final, Why.if_readable(why)) for (question, final), why in zip(newest, whys, strict=True)
        ]

    async def _last_ended(self) -> list[tuple[Question, FinalAnswer]]:
        ids: Any = await self._redis.zrevrange(names.HISTORY_KEY, 0, LAST_QUESTIONS - 1)
        wires = await self._redis.mget([names.shown_key(str(one)) for one in ids]) if ids else []
        finals = [final for wire in wires if (final := FinalAnswer.if_readable(wire))]
        return [(Question.from_wire(final.question), final) for final in finals]

    async def _open(self) -> list[Question]:
        found: list[Question] = []
        for platform in (*PLATFORMS, _ASKED_BY_COMMAND):
            ids: Any = await self._redis.zrevrange(names.open_key(platform), 0, LAST_QUESTIONS - 1)
            wires = await self._redis.mget([names.question_key(str(one)) for one in ids]) if ids else []
            found += [question for wire in wires if (question := Question.if_readable(wire))]
        return found

    @property
    def _redis(self) -> Redis:
        if self._client is None:
            self._client = plain_client(self._settings.redis_address)
        return self._client

    async def close(self) -> None:
        """Give the connection back."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None
