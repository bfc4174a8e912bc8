"""What happens to each event of a chat before it is acknowledged."""

from __future__ import annotations

import time
from dataclasses import replace

import structlog
from redis.exceptions import RedisError

from bot import metrics
from bot.chat_event import ChatEvent, FeedbackGiven, MessageDeleted, MessageEdited
from bot.chat_message import ChatMessage
from bot.conversations import Conversations
from bot.delivery import Delivery
from bot.feedback import FeedbackBook
from bot.inbox import Inbox, InboxError
from bot.intake import Decision, Facts, Intake, Refusal, Silence
from contract.answer import Outcome
from contract.question import Question, question_id

EDIT_WITHIN_S = 15.0
"""A question that is edited later than this keeps the answer to its first text."""

log = structlog.get_logger(__name__)


class Reception:
    """Takes a chat's events in: `receive` is what a platform's `listen` is given."""

    def __init__(
        self,
        intake: Intake,
        inbox: Inbox,
        conversations: Conversations,
        delivery: Delivery,
        feedback: FeedbackBook,
    ) -> None:
        self._intake = intake
        self._inbox = inbox
        self._conversations = conversations
        self._delivery = delivery
        self._feedback = feedback

    async def receive(self, event: ChatEvent) -> None:
        """Take it in. When it returns, the event may be acknowledged; raises InboxError when not."""
        if isinstance(event, ChatMessage):
            await self._receive_message(event)
        elif isinstance(event, MessageEdited):
            await self._receive_edit(event.message)
        elif isinstance(event, MessageDeleted):
            await self._receive_deletion(event)
        else:
            await self._note_feedback(event)
            metrics.feedback.labels(event.platform, event.verdict).inc()

    async def _receive_message(self, message: ChatMessage) -> None:
        decision = await self._decide(message)
        if isinstance(decision, Silence):
            metrics.silences.labels(message.platform, decision.reason).inc()
        elif isinstance(decision, Refusal):
            await self._refuse(decision)
        else:
            await self._accept(decision)

    async def _receive_edit(self, message: ChatMessage) -> None:
        """Answer as it reads now, if it was written just now; a mention that an edit adds is a question too."""
        first = await self._inbox.known(_question_id(message))
        if first is None:
            await self._receive_message(message)
        elif time.time() - first.accepted_at_s <= EDIT_WITHIN_S:
            decision = await self._decide(message)
            if isinstance(decision, Question) and decision.text != first.text:
                amended = replace(decision, asked_at_s=first.asked_at_s, accepted_at_s=first.accepted_at_s)
                log.info("edited", id=first.id, what=await self._inbox.amend(amended))

    async def _note_feedback(self, given: FeedbackGiven) -> None:
        try:
            await self._feedback.note(given)
        except RedisError as error:
            raise InboxError(f"Redis does not answer: {error}") from error

    async def _receive_deletion(self, deleted: MessageDeleted) -> None:
        question = await self._inbox.known(_question_id(deleted))
        if question is not None:
            log.info("deleted", id=question.id)
            await self._inbox.stop(question)

    async def _decide(self, message: ChatMessage) -> Decision:
        # Redis is asked only where it decides: most of a group's talk is not for us.
        in_doubt = not (message.mentions_us or message.is_direct or message.from_bot)
        is_ours = in_doubt and await self._conversations.is_ours(message)
        return self._intake.decide(message, Facts(time.time(), thread_is_ours=is_ours))

    async def _refuse(self, refusal: Refusal) -> None:
        if await self._inbox.say(refusal.question, Outcome.REFUSED, refusal.reason):
            metrics.refusals.labels(refusal.question.platform, refusal.reason).inc()

    async def _accept(self, question: Question) -> None:
        acceptance = await self._inbox.accept(question)
        metrics.accepted.labels(question.platform, acceptance.what).inc()
        log.info("taken in", id=question.id, what=acceptance.what, before=acceptance.before)
        if acceptance.what in ("queued", "waiting"):
            self._delivery.accepted(question)


def _question_id(event: ChatMessage | MessageDeleted) -> str:
    return question_id(event.platform, event.tenant, event.channel, event.message_id)
