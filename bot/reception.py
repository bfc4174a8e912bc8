"""What happens to each chat message before its event is acknowledged."""

from __future__ import annotations

import time

import structlog

from bot import metrics
from bot.chat_message import ChatMessage
from bot.conversations import Conversations
from bot.delivery import Delivery
from bot.inbox import Inbox
from bot.intake import Facts, Intake, Refusal, Silence
from contract.answer import Outcome
from contract.question import Question

log = structlog.get_logger(__name__)


class Reception:
    """Takes chat messages in: `receive` is what a platform's `listen` is given."""

    def __init__(self, intake: Intake, inbox: Inbox, conversations: Conversations, delivery: Delivery) -> None:
        self._intake = intake
        self._inbox = inbox
        self._conversations = conversations
        self._delivery = delivery

    async def receive(self, message: ChatMessage) -> None:
        """Ask, refuse or ignore. When it returns, the event may be acknowledged; raises InboxError when not."""
        # Redis is asked only where it decides: most of a group's talk is not for us.
        in_doubt = not (message.mentions_us or message.is_direct or message.from_bot)
        is_ours = in_doubt and await self._conversations.is_ours(message)
        decision = self._intake.decide(message, Facts(time.time(), thread_is_ours=is_ours))
        if isinstance(decision, Silence):
            metrics.silences.labels(message.platform, decision.reason).inc()
        elif isinstance(decision, Refusal):
            await self._refuse(decision)
        else:
            await self._accept(decision)

    async def _refuse(self, refusal: Refusal) -> None:
        if await self._inbox.say(refusal.question, Outcome.REFUSED, refusal.reason):
            metrics.refusals.labels(refusal.question.platform, refusal.reason).inc()

    async def _accept(self, question: Question) -> None:
        acceptance = await self._inbox.accept(question)
        metrics.accepted.labels(question.platform, acceptance.what).inc()
        log.info("taken in", id=question.id, what=acceptance.what, before=acceptance.before)
        if acceptance.what in ("queued", "waiting"):
            self._delivery.accepted(question)
