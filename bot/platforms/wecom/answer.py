"""One question's answer on the long connection: a stream that grows, its end, and what follows in new messages.

Rules of the vendor's page 101463: a stream takes its whole text each time and lives 6 minutes from its first send;
later it gets 846608, and so does one that was finished. An unusable req_id gets 846605. `aibot_send_msg` writes a new
message into a chat in which somebody has spoken to the bot. Neither can be looked up afterwards.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import structlog

from bot.lock import LockLostError
from bot.platform import Reply, SendAmbiguousError, SendLaterError, SendRefusedError
from bot.platforms.wecom import metrics
from bot.platforms.wecom.events import PLATFORM
from bot.platforms.wecom.link import OK, TOO_OFTEN, Ack, WeComLink, new_req_id
from bot.platforms.wecom.markup import CONTENT_BYTES, neutral, whole
from bot.platforms.wecom.pace import Kind, Pace
from bot.platforms.wecom.records import Record, Records
from bot.platforms.wecom.sentences import NOTES_BYTES, sentence
from bot.text_parts import split
from contract.question import Question

INVALID_REQ_ID = 846605
STREAM_EXPIRED = 846608
BUSY_AGAIN_S = 5.0
TRIES_OF_A_PUSH = 2
"""The second one is marked. A third would be one mark too many, even where the second one did not arrive."""
PART_BYTES = CONTENT_BYTES - NOTES_BYTES

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AnswerTimes:
    """How long a stream lives, and when it is finished of our own accord, both since its first send, in seconds."""

    stream_life_s: float = 360.0
    rotate_after_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Wire:
    """What all answers share."""

    link: WeComLink
    records: Records
    pace: Pace
    times: AnswerTimes
    per_min: int


class Answer:
    """Shows one answer. Whatever breaks, or dies, is taken up again from the record in Redis."""

    def __init__(self, question: Question, wire: Wire) -> None:
        self.question = question
        self._wire = wire
        self._lock = asyncio.Lock()
        self._record: Record | None = None
        self._shown = ""
        self._waited = False
        self._rotating: asyncio.Task[None] | None = None

    # --- growing

    async def grow(self, reply: Reply) -> bool:
        """Show the text so far; says whether the stream is open. Raises SendLaterError where WeCom's rate is near."""
        parts = split(neutral(reply.text), PART_BYTES)
        async with self._lock:
            began = self._record is None and bool(parts) and await self._begin()
            record = await self._load()
            if record.closed or record.plan or not parts or parts[0] == self._shown:
                return not record.closed
            if not began and not record.started_at_s:
                self._mind_the_pace("start")
                record = await self._write(replace(record, started_at_s=time.time()))
            elif not began:
                self._mind_the_pace("refresh")
            ack = await self._stream(parts[0], finish=False)
            if ack.errcode == OK:
                self._shown = parts[0]
            elif ack.errcode in (INVALID_REQ_ID, STREAM_EXPIRED):
                log.warning("the growing answer cannot be shown any more", question=self.question.id, answer=str(ack))
                record = await self._write(replace(record, closed=True))
            else:
                raise _refusal(ack)
            return not record.closed

    async def _begin(self) -> bool:
        """Write down that the stream starts now; False where an earlier process did. Raises SendLaterError."""
        self._mind_the_pace("start")
        first = Record(started_at_s=time.time())
        self._record = await self._wire.records.begin(self.question.id, first)
        return self._record is first

    # --- rotating

    def rotate_in_time(self, rotated: Callable[[Answer], None]) -> None:
        """Finish the stream before its life is over; the end then comes in a new message."""
        if self._rotating is None:
            self._rotating = asyncio.create_task(self._rotate(rotated))

    def close(self) -> None:
        """Finish nothing of our own accord any more."""
        if self._rotating is not None and self._rotating is not asyncio.current_task():
            self._rotating.cancel()
        self._rotating = None

    async def _rotate(self, rotated: Callable[[Answer], None]) -> None:
        record = await self._load()
        await asyncio.sleep(max(0.0, record.started_at_s + self._wire.times.rotate_after_s - time.time()))
        while time.time() < record.started_at_s + self._wire.times.stream_life_s:
            try:
                async with self._lock:
                    await self._finish_early()
                break
            except LockLostError:
                # Another process goes on with it, and the lock's keeper ends this one.
                return
            except (SendLaterError, SendAmbiguousError, SendRefusedError) as error:
                log.warning("a stream cannot be finished in time yet", question=self.question.id, error=str(error))
                await asyncio.sleep(self._wire.times.rotate_after_s / 300)
        rotated(self)

    async def _finish_early(self) -> None:
        """Finish the stream with what there is. Which text stays is written down before it does."""
        record = await self._load()
        if record.closed or record.plan:
            return
        record = await self._write(replace(record, kept=self._shown))
        ack = await self._stream(f"{self._shown}\n\n{self._say('goes_on')}", finish=True)
        if ack.errcode not in (OK, STREAM_EXPIRED, INVALID_REQ_ID):
            raise _refusal(ack)
        await self._write(replace(record, closed=True))
        log.info("a stream was finished before its time was over", question=self.question.id)

    # --- ending

    async def end(self, reply: Reply) -> None:
        """Show the end: in the stream where it is open, and in new messages what does not fit or comes too late.

        Raises SendLaterError, SendAmbiguousError or SendRefusedError; calling it again goes on where it was.
        """
        async with self._lock:
            before = await self._load()
            open_still = not before.started_at_s or time.time() < before.started_at_s + self._wire.times.stream_life_s
            record = before.planned(whole(reply), stream_takes_more=open_still)
            if record != before:
                await self._write(record)
            while record.done < len(parts := self._parts(reply, record)):
                await self._show_part(parts, record)
                record = await self._load()

    def _parts(self, reply: Reply, record: Record) -> list[str]:
        """The messages that the end is made of."""
        text = whole(reply)
        if record.in_stream or not record.kept or not text.startswith(record.kept):
            return split(text, PART_BYTES)
        # A stream that was finished early promised that something follows.
        return split(text[len(record.kept) :], PART_BYTES) or [self._say("complete")]

    async def _show_part(self, parts: list[str], record: Record) -> None:
        text = parts[record.done]
        self._mind_the_pace("end")
        if self._waited and record.done == len(parts) - 1:
            text = f"{text}\n\n{self._say('waited', per_min=self._wire.per_min)}"
        if record.in_stream and record.done == 0:
            if len(parts) > 1:
                text = f"{text}\n\n{self._say('goes_on')}"
            await self._finish_stream(text, record)
        else:
            await self._push(text, record)

    async def _finish_stream(self, text: str, record: Record) -> None:
        """Put the (first part of the) end into the stream, and close it with that."""
        was_tried = record.tries > 0
        started_at_s = record.started_at_s or time.time()
        tried = await self._write(replace(record, started_at_s=started_at_s, tries=record.tries + 1))
        try:
            ack = await self._stream(text, finish=True)
            if ack.errcode == OK and not ack.sure:
                # It may answer an earlier frame; as many answers as frames leave no doubt.
                ack = replace(await self._stream(text, finish=True), errcode=OK)
        except SendLaterError:
            await self._write(record)
            raise
        in_life = time.time() < started_at_s + self._wire.times.stream_life_s
        if ack.errcode == OK or (ack.errcode == STREAM_EXPIRED and was_tried and in_life):
            # A stream that takes no more within its life was finished, and nobody but we finishes it.
            await self._write(tried.part_shown())
        elif ack.errcode in TOO_OFTEN:
            await self._write(record)
            raise _refusal(ack)
        else:
            log.warning(
                "the stream takes no end: it comes in a new message", question=self.question.id, answer=str(ack)
            )
            await self._write(tried.without_stream(in_doubt=was_tried))

    async def _push(self, text: str, record: Record) -> None:
        """Write a new message. It cannot be looked up: one whose sending broke is sent once more, marked."""
        if record.tries >= TRIES_OF_A_PUSH:
            raise SendRefusedError("WeCom confirmed no try to send the answer in a new message")
        if record.tries:
            await self._wire.link.check()
            text = f"{self._say('maybe')}\n\n{text}"
            metrics.sent_again.labels(PLATFORM).inc()
        markdown = {"content": text, "feedback": {"id": self.question.id}}
        body = {"chatid": self.question.channel, "msgtype": "markdown", "markdown": markdown}
        await self._write(replace(record, tries=record.tries + 1))
        try:
            ack = await self._request("aibot_send_msg", new_req_id("aibot_send_msg"), body)
        except SendLaterError:
            await self._write(record)
            raise
        if ack.errcode == OK:
            await self._write(record.part_shown())
            return
        await self._write(record)
        raise _refusal(ack)

    # --- the wire

    async def _stream(self, text: str, *, finish: bool) -> Ack:
        stream = {"id": self.question.id, "finish": finish, "content": text, "feedback": {"id": self.question.id}}
        req_id = self.question.address.get("req_id", "")
        return await self._request("aibot_respond_msg", req_id, {"msgtype": "stream", "stream": stream})

    async def _request(self, command: str, req_id: str, body: Mapping[str, object]) -> Ack:
        self._wire.pace.charge(self.question.channel)
        try:
            return await self._wire.link.request(command, req_id, body)
        except SendLaterError:
            self._wire.pace.refund(self.question.channel)
            raise

    def _mind_the_pace(self, kind: Kind) -> None:
        """Raises SendLaterError where this has to wait for WeCom's rate."""
        wait_s = self._wire.pace.wait_s(self.question.channel, kind)
        if wait_s <= 0:
            return
        metrics.rate_waits.labels(PLATFORM, kind).inc()
        self._waited = self._waited or kind == "end"
        raise SendLaterError(f"WeCom allows {self._wire.per_min} messages a minute in a chat", wait_s)

    def _say(self, key: str, **values: int) -> str:
        return sentence(self.question.language, key, **values)

    async def _load(self) -> Record:
        if self._record is None:
            self._record = await self._wire.records.load(self.question.id)
        return self._record

    async def _write(self, record: Record) -> Record:
        await self._wire.records.write(self.question.id, record)
        self._record = record
        return record


def _refusal(ack: Ack) -> SendLaterError | SendRefusedError:
    """The error for an answer that is no ok."""
    if ack.errcode in TOO_OFTEN:
        return SendLaterError(f"WeCom does not take it now ({ack})", BUSY_AGAIN_S)
    return SendRefusedError(f"WeCom refused it ({ack})")
