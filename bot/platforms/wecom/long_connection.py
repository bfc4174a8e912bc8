"""WeCom over the long connection: a question's answer grows in one stream message and ends in it."""

from __future__ import annotations

import asyncio
import contextlib
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from bot.beside import Beside
from bot.chat_event import ChatEvent
from bot.chat_message import ChatMessage
from bot.lock import AccountLock
from bot.platform import (
    Platform,
    Receive,
    Reply,
    SendAmbiguousError,
    SendLaterError,
    SendRefusedError,
)
from bot.platforms.wecom import metrics
from bot.platforms.wecom.answer import Answer, AnswerTimes, Wire
from bot.platforms.wecom.events import PLATFORM, EventError, chat_of, event_type, to_feedback, to_message
from bot.platforms.wecom.gaps import Gaps
from bot.platforms.wecom.link import LinkTimes, WeComLink
from bot.platforms.wecom.pace import Pace, Rate
from bot.platforms.wecom.records import Records
from bot.platforms.wecom.sentences import TEXT_ONLY, WELCOME
from config.redis_address import RedisAddress
from contract.errors import FennelError
from contract.question import Question, question_id

LANES = 16
"""Events of one chat go to Redis one after another, those of others meanwhile: each waits for the disk."""
MAX_WAITING_IN_LANE = 1_000
"""Events that wait for Redis; WeCom does not deliver again, so they are kept here as long as there is room."""
TAKE_AGAIN_S = 0.2
DRAIN_S = 5.0
STATUS_AGAIN_S = 1.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """WeCom's own limits; tests shrink them."""

    link: LinkTimes = field(default_factory=LinkTimes)
    answer: AnswerTimes = field(default_factory=AnswerTimes)
    rate: Rate = field(default_factory=Rate)


class WeComLongConnection(Platform):
    """One AI bot. `account` is the bot's id."""

    name = PLATFORM
    thinks_at_once = True
    # A stream's id names the same message again, and the record says the rest: there is nothing to wait for.
    settle_s = 0.0

    def __init__(
        self,
        url: str,
        bot_id: str,
        secret: str,
        redis_address: RedisAddress,
        bot_name: str,
        limits: Limits | None = None,
    ) -> None:
        self.account = bot_id
        limits = limits or Limits()
        self._bot_name = bot_name
        self._records = Records(redis_address)
        self._gaps = Gaps(redis_address, bot_id)
        self._link = WeComLink(url, bot_id, secret, self._take, limits.link, self._gaps)
        self._wire = Wire(self._link, self._records, Pace(limits.rate), limits.answer, limits.rate.per_min)
        self._answers: weakref.WeakValueDictionary[str, Answer] = weakref.WeakValueDictionary()
        self._growing: dict[str, Answer] = {}
        self._lanes: list[asyncio.Queue[ChatEvent]] = [asyncio.Queue(MAX_WAITING_IN_LANE) for _ in range(LANES)]
        self._beside = Beside()

    def hold(self, lock: AccountLock) -> None:
        """Write the records through it."""
        self._records.hold(lock)

    # --- from WeCom

    async def listen(self, receive: Receive) -> None:
        """Keep the link up until closed. What arrives is put into Redis at once, again and again until it is there."""
        beside = [asyncio.create_task(self._hand_over(lane, receive)) for lane in self._lanes]
        beside.append(asyncio.create_task(self._gaps.keep()))
        try:
            await self._link.run()
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_S):
                    await asyncio.gather(*(lane.join() for lane in self._lanes))
            lost = sum(lane.qsize() for lane in self._lanes)
            if lost:
                metrics.events_lost.labels(PLATFORM).inc(lost)
                log.error("events could not be put into Redis before the end: lost", count=lost)
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    def _take(self, req_id: str, body: Mapping[str, Any]) -> None:
        """One callback of the link."""
        try:
            kind = event_type(body)
            if kind == "enter_chat":
                self._beside.start(self._welcome(req_id))
            elif kind == "feedback_event":
                self._keep(to_feedback(body))
            elif not kind:
                self._take_message(body, req_id)
        except EventError as error:
            log.warning("a callback cannot be read", error=str(error), kind=str(body.get("msgtype")))

    def _take_message(self, body: Mapping[str, Any], req_id: str) -> None:
        message = to_message(body, self._bot_name, {"req_id": req_id}, time.time())
        if message is None:
            self._beside.start(self._say_text_only(body, req_id))
        else:
            self._keep(message)

    def _keep(self, event: ChatEvent | None) -> None:
        if event is None:
            return
        try:
            chat = event.channel if isinstance(event, ChatMessage) else ""
            self._lanes[hash(chat) % LANES].put_nowait(event)
        except asyncio.QueueFull:
            metrics.events_lost.labels(PLATFORM).inc()
            log.error("too many events wait for Redis: one is lost")

    async def _hand_over(self, lane: asyncio.Queue[ChatEvent], receive: Receive) -> None:
        while True:
            event = await lane.get()
            while True:
                try:
                    await receive(event)
                    break
                except FennelError as error:
                    log.warning("an event cannot be put into Redis now: trying again", error=str(error))
                    await asyncio.sleep(TAKE_AGAIN_S)
                except Exception:
                    log.exception("an event cannot be taken in")
                    metrics.events_lost.labels(PLATFORM).inc()
                    break
            lane.task_done()

    async def _welcome(self, req_id: str) -> None:
        await self._link.request("aibot_respond_welcome_msg", req_id, {"msgtype": "text", "text": {"content": WELCOME}})

    async def _say_text_only(self, body: Mapping[str, Any], req_id: str) -> None:
        """Answer an image or a file with a sentence. The stream's id is the message's, so that twice is once."""
        chat = chat_of(body)
        stream_id = question_id(PLATFORM, str(body.get("aibotid")), chat, str(body.get("msgid")))
        stream = {"id": stream_id, "finish": True, "content": TEXT_ONLY}
        self._wire.pace.charge(chat)
        await self._link.request("aibot_respond_msg", req_id, {"msgtype": "stream", "stream": stream})

    # --- to WeCom

    async def send(self, reply: Reply) -> str:
        """Show the reply in the stream of its question; the stream's id is the question's."""
        await self.edit(reply.question.id, reply)
        return reply.question.id

    async def edit(self, sent_id: str, reply: Reply) -> None:  # noqa: ARG002 -- the question names the stream
        """Put the newest text in place, or end it there and in as many new messages as it needs."""
        answer = self._answer(reply.question)
        if reply.outcome is None:
            if await answer.grow(reply):
                self._growing[answer.question.id] = answer
                answer.rotate_in_time(self._forget)
            return
        await answer.end(reply)
        self._forget(answer)

    async def show_status(self, reply: Reply) -> float | None:
        """Open the stream with a notice, or refresh it: its id is the question's, so nothing else is written down."""
        try:
            await self.edit(reply.question.id, reply)
        except SendLaterError as error:
            return error.after_s
        except SendAmbiguousError:
            return STATUS_AGAIN_S
        except SendRefusedError as error:
            log.warning("a notice was refused", id=reply.question.id, error=str(error))
        return self._wire.times.rotate_after_s

    async def find(self, question: Question) -> str | None:  # noqa: ARG002 -- there is nothing to look at
        """WeCom shows a bot no chat; sending again refreshes the same stream."""
        return None

    async def close(self) -> None:
        """Close the link and give back everything."""
        for answer in list(self._growing.values()):
            answer.close()
        self._growing.clear()
        await self._beside.close()
        await self._link.close()
        await self._records.close()

    def _answer(self, question: Question) -> Answer:
        """The one object of this question's answer, as long as anybody works on it."""
        answer = self._answers.get(question.id)
        if answer is None:
            answer = self._answers[question.id] = Answer(question, self._wire)
        return answer

    def _forget(self, answer: Answer) -> None:
        answer.close()
        self._growing.pop(answer.question.id, None)
