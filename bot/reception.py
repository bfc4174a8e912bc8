"""What happens to each event of a chat before it is acknowledged."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from weakref import WeakValueDictionary

import structlog
from redis.exceptions import RedisError

from bot import metrics
from bot.access import Access, place_of
from bot.admission import Admission, Admissions
from bot.channel_rules import ChannelRules, is_at_work
from bot.chat_commands import Asked, ChatCommands
from bot.chat_event import ChatEvent, FeedbackGiven, MessageDeleted, MessageEdited, StopPressed
from bot.chat_message import ChatMessage
from bot.command import SPEAKING, Command, command_of, own_words
from bot.conversations import may_be_ours
from bot.delivery import Delivery
from bot.feedback import FeedbackBook
from bot.handover import Handover
from bot.inbox import GIVE_UP_AFTER_S, Inbox, InboxError
from bot.intake import Facts, Intake, Refusal, Silence, question_of
from bot.overhearing import Overhearing
from bot.phrases import phrase
from bot.plain_text import clean, language_of
from contract.answer import Outcome
from contract.question import Question, question_id
from health.tracing import record_span

EDIT_WITHIN_S = 15.0
"""A question that is edited later than this keeps the answer to its first text."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reception:
    """Takes a chat's events in: `receive` is what a platform's `listen` is given."""

    intake: Intake
    access: Access
    rules: ChannelRules
    admissions: Admissions
    inbox: Inbox
    delivery: Delivery
    commands: ChatCommands
    feedback: FeedbackBook
    handover: Handover
    overhearing: Overhearing
    _in_hand: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    async def receive(self, event: ChatEvent) -> None:
        """Take it in. When it returns, the event may be acknowledged; raises InboxError when not."""
        try:
            async with asyncio.timeout(GIVE_UP_AFTER_S):
                await self._receive(event)
        except (TimeoutError, RedisError) as error:
            raise InboxError(f"Redis took nothing in: {str(error) or 'it does not answer'}") from error

    async def _receive(self, event: ChatEvent) -> None:
        if isinstance(event, ChatMessage):
            await self._receive_message(event)
        elif isinstance(event, MessageEdited):
            await self._receive_edit(event.message)
        elif isinstance(event, MessageDeleted):
            await self._receive_deletion(event)
        elif isinstance(event, StopPressed):
            await self._receive_stop(event)
        else:
            await self._receive_feedback(event)

    async def overheard(self, message: ChatMessage) -> None:
        """Take in what a person said to nobody, and to us only if we are sure."""
        question = question_of(message, time.time(), heard="ambient")
        is_free = self.access.is_admin(message)
        admission = await self.admissions.ask(message, question.id, in_doubt=False, is_free=is_free)
        channel = self.rules.of(place_of(message))
        if admission.is_known or admission.is_paused or admission.short or not is_at_work(channel, time.time()):
            return
        if len(message.text) <= self.intake.limits.max_characters:
            await self._accept(question)

    async def _receive_message(self, message: ChatMessage) -> None:
        tidy = replace(message, text=clean(message.text))
        # Redis is asked only where it decides: most of a group's talk is not for us.
        in_doubt = not (message.mentions_us or message.is_direct)
        alone = self.intake.decide(tidy, Facts(time.time(), thread_is_ours=in_doubt and may_be_ours(message)))
        if isinstance(alone, Silence):
            await self._pass_over(tidy, alone)
            return
        # A twin of the event waits here, and is known then: nothing is charged, and no command done, twice.
        async with self._in_hand.setdefault(_question_id(tidy), asyncio.Lock()):
            await self._receive_ours(tidy, in_doubt)

    async def _receive_ours(self, tidy: ChatMessage, in_doubt: bool) -> None:
        """Take in what is said to us, unless Redis knows better."""
        command = command_of(tidy.text)
        is_free = self.access.is_admin(tidy) or (command is not None and command.name not in SPEAKING)
        admission = await self.admissions.ask(tidy, _question_id(tidy), in_doubt=in_doubt, is_free=is_free)
        if admission.is_known:
            metrics.accepted.labels(tidy.platform, "duplicate").inc()
            # It comes again where its first delivery did not end well, as where no replica had its question yet.
            await self.inbox.confirm(_question_id(tidy))
            return
        if admission.short:
            metrics.limited.labels(tidy.platform, admission.short).inc()
        decision = self.intake.decide(
            tidy, Facts(time.time(), admission.thread_is_ours, is_command=command is not None, admission=admission)
        )
        if isinstance(decision, Silence):
            await self._pass_over(tidy, decision)
        elif isinstance(decision, Refusal):
            await self._refuse(decision)
        elif command is not None:
            await self._obey(command, decision, self.access.is_admin(tidy), admission)
        else:
            await self._accept(decision)
            if not in_doubt and not tidy.is_direct and self._reads_along(tidy):
                await self.overhearing.drop_all_of(tidy)

    async def _pass_over(self, message: ChatMessage, silence: Silence) -> None:
        metrics.silences.labels(message.platform, silence.reason).inc()
        is_new_talk = silence.reason == "not_for_us" and not may_be_ours(message)
        if not is_new_talk or not message.text or message.text.startswith("@") or not self._reads_along(message):
            return
        if not self.access.refusal(message):
            await self.overhearing.collect(message, self.rules.of(place_of(message)).quiet_s)

    def _reads_along(self, message: ChatMessage) -> bool:
        return self.rules.of(place_of(message)).listen == "ambient"

    async def _receive_edit(self, message: ChatMessage) -> None:
        """Answer as it reads now, if it was written just now; a mention that an edit adds is a question too."""
        first = await self.inbox.known(_question_id(message))
        if first is None:
            await self._receive_new_text(message)
            # The message may have come in meanwhile: then this was a duplicate, and the question reads as it did.
            first = await self.inbox.known(_question_id(message))
        else:
            await self.inbox.confirm(first.id)
        if first is not None and time.time() - first.accepted_at_s <= EDIT_WITHIN_S:
            decision = self.intake.decide(message, Facts(time.time(), thread_is_ours=True))
            if isinstance(decision, Question) and decision.text != first.text:
                amended = replace(
                    decision, asked_at_s=first.asked_at_s, accepted_at_s=first.accepted_at_s, heard=first.heard
                )
                log.info("edited", question=first.id, what=await self.inbox.amend(amended))

    async def _receive_new_text(self, message: ChatMessage) -> None:
        if self._reads_along(message) and not message.mentions_us:
            await self.overhearing.change(replace(message, text=clean(message.text)))
        else:
            await self._receive_message(message)

    async def _receive_deletion(self, deleted: MessageDeleted) -> None:
        question = await self.inbox.known(_question_id(deleted))
        if question is not None:
            log.info("deleted", question=question.id)
            await self.inbox.stop(question)
        elif self.rules.of(place_of(deleted)).listen == "ambient":
            await self.overhearing.drop(deleted)

    async def _receive_stop(self, pressed: StopPressed) -> None:
        question = await self.inbox.known(pressed.question_id)
        if question is not None:
            log.info("stopped", question=question.id)
            await self.inbox.stop(question)

    async def _receive_feedback(self, given: FeedbackGiven) -> None:
        feedback = await self.feedback.note(given)
        metrics.feedback.labels(given.platform, given.verdict).inc()
        await self.handover.judged(feedback)

    async def _obey(self, command: Command, here: Question, is_admin: bool, admission: Admission) -> None:
        here = replace(here, language=language_of(own_words(here.text)))
        said = await self.commands.obey(Asked(command, here, is_admin, admission.own))
        if await self.inbox.say(here, Outcome.TOLD, command.name, said.text, said.mentions):
            metrics.commands.labels(here.platform, command.name).inc()
            log.info("obeyed", question=here.id, command=command.name, is_admin=is_admin)

    async def _refuse(self, refusal: Refusal) -> None:
        question = refusal.question
        text = phrase(question.language, f"refused_{refusal.reason}", **refusal.values) if refusal.values else ""
        if await self.inbox.say(question, Outcome.REFUSED, refusal.reason, text):
            metrics.refusals.labels(question.platform, refusal.reason).inc()

    async def _accept(self, question: Question) -> None:
        acceptance = await self.inbox.accept(question)
        record_span(question.id, "take in", question.accepted_at_s, time.time(), what=acceptance.what)
        metrics.accepted.labels(question.platform, acceptance.what).inc()
        log.info("taken in", question=question.id, what=acceptance.what, before=acceptance.before)
        if acceptance.what in ("queued", "waiting"):
            self.delivery.accepted(question)


def _question_id(event: ChatMessage | MessageDeleted) -> str:
    return question_id(event.platform, event.tenant, event.channel, event.message_id)
