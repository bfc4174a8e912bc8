"""Looks after questions that nothing is heard of: tells that they are queued, that it is too late, that they broke."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from bot import rendering
from bot.inbox import Inbox, InboxError
from bot.platform import Reply
from bot.send_state import SendStage
from contract import names
from contract.answer import Outcome
from contract.question import Question
from contract.wire import NewerWireError, WireError

INTERVAL_S = 1.0
LOOKED_AT = 500
"""Open questions that one round looks at."""
BATCH = 50
"""Of them asked for at a time: between two batches the loop has other things to do."""
GRACE_S = 2.0
"""A question younger than this is not looked at: the inbox may not be done with it."""
LEFT_OVER_AFTER_S = float(names.DEDUPE_TTL_S)
ALIVE = frozenset({"queued", "started", "scheduled", "deferred"})

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """What Redis says of a question that nobody has seen the end of."""

    id: str
    age_s: float
    is_known: bool
    outcome: str | None
    stage: str | None
    job_status: str | None


class Notices(Protocol):
    """Where the sweeper's sentences are shown; `bot.delivery.Delivery` is one."""

    def offer(self, question: Question, reply: Reply) -> None:
        """Show a reply to an open question that will be overtaken by its answer."""

    def offered(self, question_id: str) -> Reply | None:
        """What was offered last for it, by anyone in this process."""


class Sweeper:
    """Looks at a platform's open questions once a second. `redis` waits for Redis (`patient_client`)."""

    def __init__(
        self,
        redis: Redis,
        inbox: Inbox,
        notices: Notices,
        *,
        platform: str,
        queued_notice_after_s: float,
        answer_ttl_s: float,
    ) -> None:
        self._redis = redis
        self._inbox = inbox
        self._notices = notices
        self._platform = platform
        self._queued_notice_after_s = queued_notice_after_s
        self._answer_ttl_s = answer_ttl_s

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.sweep(time.time())
            except (InboxError, RedisError) as error:
                log.warning("open questions cannot be looked after now", error=str(error))
            await asyncio.sleep(INTERVAL_S)

    async def sweep(self, now_s: float) -> None:
        """Look once at each open question that is old enough, the oldest first."""
        youngest_s = min(GRACE_S, self._queued_notice_after_s)
        aged: Any = await self._redis.zrangebyscore(
            names.open_key(self._platform), "-inf", now_s - youngest_s, start=0, num=LOOKED_AT, withscores=True
        )
        for start in range(0, len(aged), BATCH):
            for one in await self._open_questions(aged[start : start + BATCH], now_s):
                await self._look_after(one)

    async def _look_after(self, one: OpenQuestion) -> None:
        if one.outcome:
            # Its end is in the stream and the delivery's business; only what was lost there is left here.
            if one.stage == SendStage.DONE or one.age_s > LEFT_OVER_AFTER_S:
                await self._redis.zrem(names.open_key(self._platform), one.id)
            return
        is_gone = one.job_status not in ALIVE
        is_late = one.age_s > self._answer_ttl_s
        wants_notice = one.age_s > self._queued_notice_after_s and not self._is_told(one)
        if one.is_known and not (is_gone or is_late or wants_notice):
            return
        try:
            question = await self._read(one.id)
        except NewerWireError as error:
            log.warning("an open question waits for a newer bot", question=one.id, error=str(error))
            return
        if question is None:
            log.error("an open question is not known any more", question=one.id)
            await self._redis.zrem(names.open_key(self._platform), one.id)
        elif is_gone:
            if await self._inbox.take_back(question, Outcome.FAILED, "job_gone"):
                log.error("a question's job is gone without an end", question=one.id, status=one.job_status)
        elif is_late:
            if await self._inbox.take_back(question, Outcome.EXPIRED):
                log.warning("a question has waited too long", question=one.id, age_s=round(one.age_s))
        else:
            await self._notice(question, one)

    def _is_told(self, one: OpenQuestion) -> bool:
        """Whether the asker knows where the question is. That we think does not tell that it waits."""
        offered = self._notices.offered(one.id)
        if offered is None:
            return bool(one.stage) and one.stage != SendStage.PLANNED
        return one.job_status == "started" or offered != rendering.thinking(offered.question)

    async def _notice(self, question: Question, one: OpenQuestion) -> None:
        """Tell the asker once where the question is."""
        if one.job_status == "started":
            self._notices.offer(question, rendering.thinking(question))
            return
        before: Any = await self._redis.lpos(names.QUEUE_KEY, question.id)
        if before is None:
            before = await self._before_a_waiting_one(question)
        self._notices.offer(question, rendering.queued(question, before))

    async def _before_a_waiting_one(self, question: Question) -> int:
        """How many are before a question that waits behind another of its thread."""
        async with self._redis.pipeline(transaction=False) as step:
            step.zrank(names.waiting_key(question.conversation), question.id)
            step.get(names.thread_key(question.conversation))
            rank, head = await step.execute()
        place = await self._redis.lpos(names.QUEUE_KEY, head) if head else None
        in_queue = place if isinstance(place, int) else 0
        return in_queue + 1 + int(rank or 0)

    async def _open_questions(self, aged: list[tuple[str, float]], now_s: float) -> list[OpenQuestion]:
        async with self._redis.pipeline(transaction=False) as step:
            for question_id, _accepted_at_s in aged:
                step.exists(names.question_key(question_id))
                step.hmget(names.delivery_key(question_id), ["outcome", "state"])
                step.hget(names.job_key(question_id), "status")
            replies = await step.execute()
        rows = zip(aged, *(iter(replies),) * 3, strict=True)
        return [
            OpenQuestion(question_id, now_s - accepted_at_s, bool(is_known), outcome, stage, status)
            for (question_id, accepted_at_s), is_known, (outcome, stage), status in rows
        ]

    async def _read(self, question_id: str) -> Question | None:
        wire = await self._redis.get(names.question_key(question_id))
        try:
            return Question.from_wire(wire) if wire else None
        except NewerWireError:
            raise
        except WireError:
            return None
