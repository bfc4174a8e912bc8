"""Sends one question through the same inbox as a chat does, and follows its answer."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Coroutine
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError
from redis.typing import KeyT, StreamIdT

from bot import rendering
from bot.chat_message import ChatMessage
from bot.inbox import Inbox
from bot.intake import Facts, Intake, IntakeLimits, Refusal
from bot.platform import Reply
from bot.redis_link import patient_client, plain_client
from bot.sweeper import Sweeper
from cli.running import NothingRunningError, check_running
from config.settings import Settings
from contract import names
from contract.answer import FinalAnswer, Outcome, PartialAnswer
from contract.errors import FennelError
from contract.question import Question
from contract.wire import WireError

PLATFORM = "ask"
BLOCK_MS = 200
PAUSE_S = 0.2
STOP_WITHIN_S = 5.0
MARGIN_S = 30.0
LEFT_OVER_AFTER_S = 3_600

Show = Callable[[Reply], None]


class Asking:
    """One question from a terminal. `show` is given each reply that is not yet the end."""

    def __init__(self, settings: Settings, show: Show) -> None:
        self._settings = settings
        self._show = show
        self.interrupted = asyncio.Event()
        """Set it to give the question up."""

    async def ask(self, text: str) -> tuple[Question, FinalAnswer]:
        """Ask, and return the question with its end. Raises NothingRunningError, InboxError, FennelError."""
        decision = Intake(IntakeLimits(answer_ttl_s=self._settings.queue.answer_ttl_s)).decide(
            _chat_message(text), Facts(time.time())
        )
        if isinstance(decision, Refusal):
            question = decision.question
            return question, FinalAnswer(question.to_wire(), Outcome.REFUSED, reason=decision.reason)
        if not isinstance(decision, Question):
            raise FennelError(f"the question was ignored ({decision.reason})")
        async with plain_client(self._settings.redis_address) as reader:
            await check_running(reader)
            async with patient_client(self._settings.redis_address) as redis:
                return decision, await self._ask(redis, reader, decision)

    async def _ask(self, redis: Redis, reader: Redis, question: Question) -> FinalAnswer:
        inbox = Inbox(
            redis,
            max_queued=self._settings.queue.max_queued,
            job_timeout_s=self._settings.worker.job_timeout_s,
        )
        await _clear_left_overs(redis)
        answers = AskedAnswers(reader, question)
        try:
            await answers.start()
        except RedisError as error:
            raise NothingRunningError(f"Redis has gone away: {error}") from error
        sweeper = Sweeper(
            redis,
            inbox,
            Notices(question.id, self._show),
            platform=PLATFORM,
            queued_notice_after_s=self._settings.queue.queued_notice_after_s,
            answer_ttl_s=self._settings.queue.answer_ttl_s,
        )
        await inbox.accept(question)
        sweeping = asyncio.create_task(sweeper.run())
        try:
            return await self._follow(inbox, question, answers)
        finally:
            sweeping.cancel()
            await asyncio.gather(sweeping, return_exceptions=True)
            await _in_time(answers.clear(redis))

    async def _follow(self, inbox: Inbox, question: Question, answers: AskedAnswers) -> FinalAnswer:
        """Show what grows until the end is there, or nobody can expect one any more."""
        settings = self._settings
        end_s = time.monotonic() + settings.queue.answer_ttl_s + settings.worker.job_timeout_s + MARGIN_S
        is_stopping = False
        while time.monotonic() < end_s:
            partial, final = await answers.read()
            if final:
                return final
            if partial is not None and not is_stopping:
                self._show(rendering.growing(question, partial))
            if self.interrupted.is_set() and not is_stopping:
                is_stopping, end_s = True, time.monotonic() + STOP_WITHIN_S
                await inbox.stop(question)
        outcome = Outcome.STOPPED if is_stopping else Outcome.FAILED
        return FinalAnswer(question.to_wire(), outcome, reason="no_end")


class AskedAnswers:
    """What comes back for one question, read without a group: nobody goes on with it when this process ends."""

    def __init__(self, reader: Redis, question: Question) -> None:
        self._reader = reader
        self._question_id = question.id
        self._turns = names.turns_key(question.conversation)
        self._partials, self._answers = names.partials_stream(PLATFORM), names.answers_stream(PLATFORM)
        self._cursors: dict[KeyT, StreamIdT] = {self._partials: "0", self._answers: "0"}
        self._entry_id = ""

    async def start(self) -> None:
        """Read from now on; call it before the question is accepted."""
        for stream in (self._partials, self._answers):
            newest: Any = await self._reader.xrevrange(stream, count=1)
            if newest:
                self._cursors[stream] = newest[0][0]

    async def read(self) -> tuple[str | None, FinalAnswer | None]:
        """The newest text and the end, each None where there is nothing new; waits for a moment."""
        try:
            batches: Any = await self._reader.xread(self._cursors, block=BLOCK_MS)
        except RedisError:
            await asyncio.sleep(PAUSE_S)
            return None, None
        text: str | None = None
        final: FinalAnswer | None = None
        for stream, entries in batches or []:
            self._cursors[stream] = entries[-1][0]
            for entry_id, fields in entries:
                if stream == self._partials:
                    text = self._text(fields, text)
                else:
                    final = self._final(entry_id, fields) or final
        return text, final

    def _text(self, fields: dict[str, str], before: str | None) -> str | None:
        try:
            partial = PartialAnswer.from_wire(fields.get("partial", ""))
        except WireError:
            return before
        return partial.text if partial.question_id == self._question_id else before

    def _final(self, entry_id: str, fields: dict[str, str]) -> FinalAnswer | None:
        try:
            final = FinalAnswer.from_wire(fields.get("final", ""))
            if Question.from_wire(final.question).id != self._question_id:
                return None
        except WireError:
            # Somebody else's, or nobody's; it is cleared when it is old.
            return None
        self._entry_id = entry_id
        return final

    async def clear(self, redis: Redis) -> None:
        """Leave nothing behind of the question but what recognises it."""
        async with redis.pipeline(transaction=True) as step:
            if self._entry_id:
                step.xdel(self._answers, self._entry_id)
            step.zrem(names.open_key(PLATFORM), self._question_id)
            step.delete(self._turns)
            await step.execute()


class Notices:
    """Shows what the sweeper has to say of our question, and of nobody else's."""

    def __init__(self, question_id: str, show: Show) -> None:
        self._question_id = question_id
        self._show = show
        self._told: Reply | None = None

    def offer(self, question: Question, reply: Reply) -> None:
        """Show it once."""
        if question.id == self._question_id and self._told is None:
            self._told = reply
            self._show(reply)

    def offered(self, question_id: str) -> Reply | None:
        """What was said of our question."""
        return self._told if question_id == self._question_id else None


async def _in_time(work: Coroutine[None, None, None]) -> None:
    """Do the work unless Redis is away: nobody waits at a prompt for that."""
    try:
        async with asyncio.timeout(STOP_WITHIN_S):
            await work
    except TimeoutError:
        return


async def _clear_left_overs(redis: Redis) -> None:
    """Forget what commands left that were killed long ago."""
    before_s = int(time.time()) - LEFT_OVER_AFTER_S
    async with redis.pipeline(transaction=False) as step:
        step.xtrim(names.answers_stream(PLATFORM), minid=str(before_s * 1000), approximate=False)
        step.zremrangebyscore(names.open_key(PLATFORM), "-inf", before_s)
        await step.execute()


def _chat_message(text: str) -> ChatMessage:
    token = secrets.token_hex(8)
    return ChatMessage(
        platform=PLATFORM,
        tenant="local",
        channel=f"ask-{token}",
        thread=f"ask-{token}",
        message_id=token,
        sender="local",
        sender_name="local",
        text=text,
        at_s=time.time(),
        mentions_us=True,
        is_direct=True,
    )
