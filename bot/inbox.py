"""The inbox: where a question becomes safe. After it no process that dies loses the question."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Literal

from redis.asyncio import Redis
from redis.exceptions import RedisError

from bot.job_fields import job_data, job_fields
from bot.redis_link import run_script
from contract import names, scripts
from contract.answer import FinalAnswer, Outcome
from contract.errors import FennelError
from contract.question import Question

GIVE_UP_AFTER_S = 20.0
"""A platform waits for our acknowledgement no longer than about this; then it delivers the event again."""


class InboxError(FennelError):
    """Whether the question was taken in is not known; the event must not be acknowledged, so that it comes again."""


REPLICAS_WITHIN_MS = 5_000
_IS_KNOWN = "return redis.call('EXISTS', KEYS[1])"


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What became of a question, and how many were waiting before it."""

    what: Literal["queued", "waiting", "duplicate", "busy"]
    before: int


class Inbox:
    """Takes questions in. Each call is one script in Redis, and the same call twice is once.

    `redis` has to be a client that waits for Redis (`patient_client`). What was taken in has reached as many replicas
    as `replicas` says.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        max_queued: int,
        job_timeout_s: float,
        replicas: int = 0,
        give_up_after_s: float = GIVE_UP_AFTER_S,
    ) -> None:
        self._redis = redis
        self._max_queued = max_queued
        self._job_timeout_s = job_timeout_s
        self._replicas = replicas
        self._give_up_after_s = give_up_after_s

    async def accept(self, question: Question) -> Acceptance:
        """Store the question and queue its job, or tell the asker that too many wait. Raises InboxError."""
        busy = FinalAnswer(question=question.to_wire(), outcome=Outcome.BUSY)
        fields = job_fields(question, self._job_timeout_s)
        what, before = await self._run(scripts.accept(question, fields, self._max_queued, busy))
        return Acceptance(what, int(before))

    async def say(
        self, question: Question, outcome: Outcome, reason: str, text: str = "", mentions: tuple[str, ...] = ()
    ) -> bool:
        """End a question at once, with the sentence of its reason or with `text`; False where its event was known.

        `mentions` are people to call. Raises InboxError.
        """
        final = FinalAnswer(question.to_wire(), outcome, text, reason=reason, mentions=mentions)
        return bool(await self._run(scripts.say(question, final)))

    async def withdraw(self, question: Question) -> bool:
        """Take the shown answer away; False where there is none (any more). Raises InboxError."""
        final = FinalAnswer(question.to_wire(), Outcome.WITHDRAWN)
        return bool(await self._run(scripts.withdraw(question, final)))

    async def take_back(self, question: Question, outcome: Outcome, reason: str = "") -> bool:
        """End a question that no living worker has begun; False where one has, or where it has ended.

        Raises InboxError.
        """
        final = FinalAnswer(question=question.to_wire(), outcome=outcome, reason=reason)
        return bool(await self._run(scripts.take_back(question, final)))

    async def amend(self, question: Question) -> str:
        """Answer the question as it reads now: ``unknown``, ``ended``, ``amended`` or ``begun anew``.

        Raises InboxError.
        """
        return str(await self._run(scripts.amend(question, job_data(question))))

    async def stop(self, question: Question) -> None:
        """End a question that is not wanted any more, whoever has it. Raises InboxError."""
        if not await self.take_back(question, Outcome.STOPPED):
            await self._run(scripts.stop(question.id))

    async def known(self, question_id: str) -> Question | None:
        """The question of this id, if it was taken in within a day. Raises InboxError."""
        try:
            return Question.if_readable(await self._redis.get(names.question_key(question_id)))
        except RedisError as error:
            raise InboxError(f"Redis does not answer: {error}") from error

    async def confirm(self, question_id: str) -> None:
        """Return when the replicas have this question, which Redis knew just now. Raises InboxError."""
        # Asked again in the step that waits for them: a server that has taken over since may not know it.
        if self._replicas and not await self._run((_IS_KNOWN, 1, [names.question_key(question_id)])):
            raise InboxError("Redis has lost the question")

    async def _run(self, call: scripts.ScriptCall) -> Any:
        try:
            async with asyncio.timeout(self._give_up_after_s):
                if self._replicas:
                    return await self._replicated(call)
                return await run_script(self._redis, call)
        except (TimeoutError, RedisError) as error:
            raise InboxError(f"Redis took nothing in: {str(error) or 'it does not answer'}") from error

    async def _replicated(self, call: scripts.ScriptCall) -> Any:
        """Run the script, and return when so many replicas have what it wrote. Raises InboxError."""
        script, keys, arguments = call
        async with self._redis.pipeline(transaction=False) as step:
            step.eval(script, keys, *arguments)
            # WAIT waits for what its own connection wrote: an event that came before had its script elsewhere.
            step.set(names.BARRIER_KEY, "")
            step.wait(self._replicas, REPLICAS_WITHIN_MS)
            reply, _, reached = await step.execute()
        if int(reached) < self._replicas:
            raise InboxError(f"{reached} of {self._replicas} replicas of Redis have it: start the others")
        return reply
