"""Handing over to people: the channel's maintainers are called to a thread, once."""

from __future__ import annotations

from dataclasses import replace

from redis.asyncio import Redis

from bot import metrics
from bot.channel_rules import ChannelRules
from bot.feedback import Feedback
from bot.inbox import Inbox
from bot.phrases import phrase
from contract import names
from contract.answer import FinalAnswer, Outcome
from contract.question import Question, question_id

DISPLEASED_ENOUGH = 2
REMEMBER_S = names.SECONDS_A_DAY
"""A thread that goes on longer may call again."""
QUESTION_CHARACTERS = 200


class Handover:
    """Calls the people that the settings name for a channel. `redis` waits for it (`patient_client`)."""

    def __init__(self, redis: Redis, rules: ChannelRules, inbox: Inbox) -> None:
        self._redis = redis
        self._rules = rules
        self._inbox = inbox

    async def call(self, here: Question, about: str, key: str = "human_called") -> tuple[str, tuple[str, ...]]:
        """What to say in the thread, and whom to call there; nobody where they were called before.

        `about` is the question that a person is needed for. The same event again calls again, as it may not have been
        seen the first time.
        """
        maintainers = tuple(self._rules.of(here.place).maintainers)
        if not maintainers or here.heard == "direct":
            # They are not in a direct chat, and what is said there is told nowhere else.
            return phrase(here.language, "human_nobody"), ()
        called = names.called_key(here.conversation)
        first = await self._redis.set(called, here.id, nx=True, ex=REMEMBER_S)
        if not first and await self._redis.get(called) != here.id:
            return phrase(here.language, "human_again"), ()
        metrics.handovers.labels(here.platform).inc()
        return phrase(here.language, key, question=about[:QUESTION_CHARACTERS]), maintainers

    async def judged(self, feedback: Feedback) -> None:
        """Call when answers of a thread were found bad twice. Raises InboxError."""
        final = FinalAnswer.if_readable(feedback.final)
        question = Question.if_readable(final.question) if final else None
        question = question or await self._inbox.known(feedback.question_id)
        if question is None:
            return
        key, whose = names.displeased_key(question.conversation), f"{question.id}:{feedback.by}"
        if feedback.verdict == "good":
            await self._redis.srem(key, whose)
            return
        async with self._redis.pipeline(transaction=True) as step:
            step.sadd(key, whose)
            step.expire(key, REMEMBER_S)
            step.scard(key)
            *_, count = await step.execute()
        if count < DISPLEASED_ENOUGH:
            return
        # Whichever answer it was that displeased, the thread calls under one id: once.
        call_id = question_id(question.platform, question.tenant, question.channel, f"{question.thread}/human")
        here = replace(question, id=call_id)
        text, mentions = await self.call(here, question.text, "human_called_displeased")
        if mentions:
            await self._inbox.say(here, Outcome.TOLD, "", text, mentions)
