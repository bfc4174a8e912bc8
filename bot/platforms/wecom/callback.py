"""WeCom in callback mode: WeCom calls us, and polls for the text of each stream until it is finished.

Rules of the vendor's pages 100719, 101031 and 101138: the passive answer to a message opens a stream; WeCom asks for
its text about every second, for at most 6 minutes after the person's message; the message's `response_url` takes one
message more, once.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
import weakref
from dataclasses import dataclass
from typing import Any

import aiohttp
import structlog
from yarl import URL

from bot.phrases import phrase
from bot.platform import Platform, PlatformError, Receive, Reply, SendAmbiguousError, SendLaterError, SendRefusedError
from bot.platforms.wecom import metrics
from bot.platforms.wecom.answer import AnswerTimes
from bot.platforms.wecom.callback_server import Body, CallbackServer
from bot.platforms.wecom.crypto import CallbackCipher
from bot.platforms.wecom.events import PLATFORM, EventError, chat_of, event_type, to_feedback, to_message
from bot.platforms.wecom.link import TOO_OFTEN
from bot.platforms.wecom.markup import CONTENT_BYTES, neutral, whole
from bot.platforms.wecom.pace import Kind, Pace, Rate
from bot.platforms.wecom.polled import Polled, PolledStreams
from bot.platforms.wecom.sentences import NOTES_BYTES, TEXT_ONLY, WELCOME, sentence
from bot.text_parts import split
from bot.waiting import is_set_within
from config.redis_address import RedisAddress
from contract.question import Question, question_id

PART_BYTES = CONTENT_BYTES - NOTES_BYTES
LOOK_AGAIN_S = 0.5
BUSY_AGAIN_S = 5.0
POST_TIMEOUT_S = 10.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CallbackSettings:
    """Where callbacks are taken, and where late answers may be posted (`api_url`, and nowhere else)."""

    host: str
    port: int
    token: str
    aes_key: str
    api_url: str


class WeComCallback(Platform):
    """One AI bot that WeCom calls. `account` is the bot's id, or stands for its token where the id is not set."""

    name = PLATFORM
    thinks_at_once = True
    # What is sent is only laid out for the next poll, by the question's id: there is nothing to look up.
    settle_s = 0.0

    def __init__(
        self,
        settings: CallbackSettings,
        bot_id: str,
        redis_address: RedisAddress,
        bot_name: str,
        times: AnswerTimes | None = None,
        rate: Rate | None = None,
    ) -> None:
        cipher = CallbackCipher(settings.token, settings.aes_key)
        self.account = bot_id or f"callback-{hashlib.sha256(settings.token.encode()).hexdigest()[:12]}"
        self.server = CallbackServer(settings.host, settings.port, cipher, self._take)
        self._api_origin = URL(settings.api_url).origin()
        self._bot_name = bot_name
        self._times = times or AnswerTimes()
        self._rate = rate or Rate()
        # Answers to polls are not counted: WeCom itself asks more often than its own rate allows.
        self._pace = Pace(self._rate)
        self._streams = PolledStreams(redis_address)
        self._receive: Receive | None = None
        self._closed = asyncio.Event()
        self._listening = asyncio.Lock()
        self._handed: weakref.WeakValueDictionary[str, asyncio.Event] = weakref.WeakValueDictionary()

    # --- from WeCom

    async def listen(self, receive: Receive) -> None:
        """Take calls until closed. Raises LinkDeadError where the port is taken."""
        self._receive = receive
        async with self._listening:
            await self.server.run(self._closed)

    async def _take(self, body: Body) -> Body | None:
        """One call that is WeCom's; the passive answer to it."""
        try:
            if body.get("msgtype") == "stream":
                return await self._polled(body)
            if body.get("msgtype") == "event":
                return await self._take_event(body)
            return await self._take_message(body)
        except EventError as error:
            log.warning("a callback cannot be read", error=str(error), kind=str(body.get("msgtype")))
            return None

    async def _take_event(self, body: Body) -> Body | None:
        kind = event_type(body)
        if kind == "enter_chat":
            return {"msgtype": "text", "text": {"content": WELCOME}}
        feedback = to_feedback(body) if kind == "feedback_event" else None
        if feedback is not None:
            await self._hand_over(feedback)
        return None

    async def _take_message(self, body: Body) -> Body | None:
        address = {"response_url": str(body.get("response_url", ""))}
        message = to_message(body, self._bot_name, address, time.time())
        if message is None:
            stands_for = question_id(PLATFORM, "", "", str(body.get("msgid")))
            return _stream(stands_for, TEXT_ONLY, finish=True) if self._may(chat_of(body), "end") else None
        await self._hand_over(message)
        stream_id = question_id(message.platform, message.tenant, message.channel, message.message_id)
        question = await self._streams.question(stream_id)
        if question is None:
            return None
        if not await self._opens(question):
            return None
        # Never with a finish, not even to a call that comes again late: the end belongs to the polls, which count it.
        text = await self._streams.text(stream_id) or phrase(question.language, "thinking")
        return _stream(stream_id, text, finish=False)

    async def _opens(self, question: Question) -> bool:
        """Whether the question has a stream, or WeCom's rate has room to open it now."""
        polled = await self._streams.load(question.id)
        if polled.opened or polled.waited:
            return polled.opened
        if not self._may(question.channel, "start"):
            await self._streams.open_none(question.id)
            return False
        await self._streams.note(question.id, opened="1")
        return True

    def _may(self, chat: str, kind: Kind) -> bool:
        """Whether WeCom's rate has room for one message more, which is then counted."""
        if self._pace.wait_s(chat, kind) > 0:
            metrics.rate_waits.labels(PLATFORM, kind).inc()
            return False
        self._pace.charge(chat)
        return True

    async def _hand_over(self, event: Any) -> None:
        if self._receive is None:
            raise PlatformError("not listening yet")
        await self._receive(event)

    async def _polled(self, body: Body) -> Body | None:
        """Answer a poll; the stream's id is the question's, and tells nothing but what Redis knows of it."""
        stream = body.get("stream")
        stream_id = stream.get("id") if isinstance(stream, dict) else None
        if not isinstance(stream_id, str):
            raise EventError("a poll for no stream")
        question = await self._streams.question(stream_id)
        if question is None:
            return None
        late = time.time() > question.asked_at_s + self._times.rotate_after_s
        what, text = await self._streams.poll(question.id, late=late)
        if what == "unknown":
            return None
        if what == "kept":
            text = f"{text}\n\n{sentence(question.language, 'goes_on')}".strip()
        if what == "end" and (handed := self._handed.get(question.id)):
            handed.set()
        return _stream(question.id, text, finish=what != "open")

    # --- to WeCom

    async def send(self, reply: Reply) -> str:
        """Lay the reply out for WeCom's next poll; the stream's id is the question's."""
        await self.edit(reply.question.id, reply)
        return reply.question.id

    async def edit(self, sent_id: str, reply: Reply) -> None:
        """Lay the newest text out; an end is there when WeCom has taken it."""
        if reply.outcome is None:
            parts = split(neutral(reply.text), PART_BYTES)
            if parts:
                await self._streams.grow(sent_id, parts[0])
            return
        text = whole(reply)
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        parts = split(text, PART_BYTES)
        first = parts[0] if len(parts) == 1 else f"{parts[0]}\n\n{sentence(reply.question.language, 'goes_on')}"
        polled = await self._until_taken(reply.question, await self._streams.end(sent_id, first, digest))
        rest = self._rest(reply.question, parts, text, polled, digest)
        if rest and polled.url_done != digest:
            await self._use_response_url(reply.question, rest, digest)

    async def find(self, question: Question) -> str | None:  # noqa: ARG002 -- there is nothing to look at
        """WeCom shows a bot no chat; laying out again changes nothing."""
        return None

    async def close(self) -> None:
        """Take no more calls."""
        self._closed.set()
        for handed in list(self._handed.values()):
            handed.set()
        async with self._listening:  # the calls in hand are answered out of the streams
            await self._streams.close()

    async def _until_taken(self, question: Question, polled: Polled) -> Polled:
        """Wait until WeCom has taken the end, or until it polls no more. Raises SendLaterError on close."""
        handed = self._handed.setdefault(question.id, asyncio.Event())
        over_at_s = question.asked_at_s + self._times.stream_life_s
        while polled.kept is None and not polled.handed:
            if self._closed.is_set():
                raise SendLaterError("closing", LOOK_AGAIN_S)
            if time.time() > over_at_s:
                log.warning("WeCom has not asked for the end of an answer", question=question.id)
                return await self._streams.give_up(question.id)
            await is_set_within(handed, LOOK_AGAIN_S)
            handed.clear()
            polled = await self._streams.load(question.id)
        return polled

    def _rest(self, question: Question, parts: list[str], whole: str, polled: Polled, digest: str) -> str:
        """What the stream does not show of the end, in one message; empty where it shows everything."""
        if polled.handed == digest:
            left = parts[1:]
        elif polled.kept and whole.startswith(polled.kept):
            left = split(whole[len(polled.kept) :], PART_BYTES) or [sentence(question.language, "complete")]
        else:
            left = parts
        if not left:
            return ""
        return left[0] if len(left) == 1 else f"{left[0]}\n\n{sentence(question.language, 'cut')}"

    async def _use_response_url(self, question: Question, text: str, digest: str) -> None:
        """Post one message more. The URL works once, so that posting again after a doubt shows nothing twice."""
        url = question.address.get("response_url", "")
        if not self._is_of_wecom(url):
            raise SendRefusedError("the message came without a response URL of WeCom's")
        await self._mind_the_pace(question)
        polled = await self._streams.load(question.id)
        if polled.waited:
            text = f"{text}\n\n{sentence(question.language, 'waited', per_min=self._rate.per_min)}"
        await self._streams.note(question.id, url_tries=str(polled.url_tries + 1))
        try:
            errcode, errmsg = await self._post(url, {"msgtype": "markdown", "markdown": {"content": text}})
        except SendLaterError:
            await self._streams.note(question.id, url_tries=str(polled.url_tries))
            raise
        if errcode in TOO_OFTEN:
            await self._streams.note(question.id, url_tries=str(polled.url_tries))
            raise SendLaterError(f"WeCom does not take it now ({errcode} {errmsg})", BUSY_AGAIN_S)
        if errcode and not polled.url_tries:
            raise SendRefusedError(f"WeCom refused the rest of the answer ({errcode} {errmsg})")
        if errcode:
            log.warning("the response URL is used up: by the try whose end was not seen", question=question.id)
        await self._streams.note(question.id, url_done=digest)

    async def _mind_the_pace(self, question: Question) -> None:
        """Raises SendLaterError where the message has to wait for WeCom's rate; then it says so when it comes."""
        wait_s = self._pace.wait_s(question.channel, "end")
        if not self._may(question.channel, "end"):
            await self._streams.note(question.id, waited="1")
            raise SendLaterError(f"WeCom allows {self._rate.per_min} messages a minute in a chat", wait_s)

    async def _post(self, url: str, body: Body) -> tuple[int, str]:
        timeout = aiohttp.ClientTimeout(total=POST_TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(URL(url, encoded=True), json=body, allow_redirects=False) as response,
            ):
                answer = await response.json(content_type=None)
                return int(answer["errcode"]), str(answer.get("errmsg", ""))
        except aiohttp.ClientConnectorError as error:
            raise SendLaterError(f"WeCom cannot be reached: {error}", BUSY_AGAIN_S) from error
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError) as error:
            raise SendAmbiguousError(f"WeCom gave no answer: {error or 'too slow'}") from error

    def _is_of_wecom(self, url: str) -> bool:
        """Whether the URL leads to WeCom's own server: nothing from a chat names an address that we call."""
        try:
            return URL(url).origin() == self._api_origin
        except ValueError:
            return False


def _stream(stream_id: str, text: str, *, finish: bool) -> Body:
    """A passive answer; the feedback that people give names the question."""
    stream = {"id": stream_id, "finish": finish, "content": text, "feedback": {"id": stream_id}}
    return {"msgtype": "stream", "stream": stream}
