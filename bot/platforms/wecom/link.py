"""The long connection to WeCom: one WebSocket, subscribed, kept alive, and opened again when it breaks.

Rules of the vendor's page 101463: JSON frames ``{cmd, headers: {req_id}, body}``, answered by a frame with the same
req_id and no cmd; one reply at a time for a req_id, whose answer comes within 5 s; a ping every 30 s; one connection
for a bot, a newer one closes the older with ``disconnected_event``.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import aiohttp
import structlog

from bot.link import link_of
from bot.platform import LinkDeadError, LinkTakenError, SendAmbiguousError, SendLaterError
from bot.platforms.wecom.events import PLATFORM, event_type
from bot.platforms.wecom.gaps import Gaps
from bot.sending_session import sending_session
from bot.waiting import is_set_within, unless_set

OK = 0
TOO_OFTEN = frozenset({-1, 45009, 45011, 45033})
"""Busy, or above a rate, as WeCom's other interfaces say it; no vendor page lists the long connection's codes."""
MISSED_PINGS = 2
REFUSALS = 3
"""Refused subscriptions in a row after which the bot's id or secret must be wrong."""
MAX_FRAME_BYTES = 16 * 2**20
LINK_DOWN_AGAIN_S = 0.5

log = structlog.get_logger(__name__)

Frame = Mapping[str, Any]
Take = Callable[[str, Frame], None]
"""Takes a callback: its req_id and its body."""


@dataclass(frozen=True, slots=True)
class LinkTimes:
    """The link's own times in seconds."""

    connect_s: float = 10.0
    answer_s: float = 5.0
    heartbeat_s: float = 30.0
    backoff_first_s: float = 1.0
    backoff_last_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Ack:
    """WeCom's answer to a frame. `sure` is False where it may be the late answer to an earlier frame."""

    errcode: int
    errmsg: str
    sure: bool = True

    def __str__(self) -> str:
        return f"{self.errcode} {self.errmsg}"


class WeComLink:
    """Keeps one bot's connection. `take` is given each callback, in order, and must not wait.

    `gaps` hears when the link is up and when it is not.
    """

    def __init__(
        self, url: str, bot_id: str, secret: str, take: Take, times: LinkTimes, gaps: Gaps | None = None
    ) -> None:
        self._url = url
        self._credentials = {"bot_id": bot_id, "secret": secret}
        self._take = take
        self._times = times
        self._gaps = gaps
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._waiting: dict[str, asyncio.Future[Frame | None]] = {}
        self._unanswered: dict[str, int] = {}
        self._turns: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._closed = asyncio.Event()
        self._refusals = 0
        self._backoff_s = times.backoff_first_s
        self._taken_over = False

    async def run(self) -> None:
        """Keep the link up until `close`. Raises LinkTakenError or, where we are not let in, LinkDeadError."""
        async with sending_session() as session:
            while not self._closed.is_set():
                up_at_s = await unless_set(self._serve_once(session), self._closed)
                if self._taken_over:
                    raise LinkTakenError(
                        "another instance of this bot has connected to WeCom and taken the link over; WeCom allows "
                        "one: stop the other one, or give each its own bot"
                    )
                if self._refusals >= REFUSALS:
                    raise LinkDeadError(
                        "WeCom does not let this bot in: check wecom.bot_id and wecom.secret, and that the bot is set "
                        "to the long connection"
                    )
                if up_at_s and time.monotonic() - up_at_s > self._times.backoff_last_s:
                    self._backoff_s = self._times.backoff_first_s
                await is_set_within(self._closed, self._backoff_s * random.uniform(0.8, 1.0))
                self._backoff_s = min(2 * self._backoff_s, self._times.backoff_last_s)

    async def close(self) -> None:
        """Close the link; `run` returns."""
        self._closed.set()

    async def request(self, command: str, req_id: str, body: Mapping[str, Any]) -> Ack:
        """Send a frame and return its answer; frames of one req_id go one after another.

        Raises SendLaterError where the link is down and nothing was sent, SendAmbiguousError where it broke, or no
        answer came in time.
        """
        turn = self._turns.setdefault(req_id, asyncio.Lock())
        async with turn:
            if self._socket is None or self._socket.closed:
                raise SendLaterError("the link to WeCom is down", LINK_DOWN_AGAIN_S)
            return await self._exchange(self._socket, command, req_id, body)

    async def check(self) -> None:
        """Return when the link has just proved to work. Raises SendLaterError."""
        try:
            await self.request("ping", new_req_id("ping"), {})
        except SendAmbiguousError as error:
            raise SendLaterError("the link to WeCom does not answer", LINK_DOWN_AGAIN_S) from error

    async def _serve_once(self, session: aiohttp.ClientSession) -> float | None:
        """Connect, subscribe and serve until the link ends; since when it was up, None where it never was."""
        try:
            async with asyncio.timeout(self._times.connect_s):
                socket = await session.ws_connect(self._url, max_msg_size=MAX_FRAME_BYTES)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            log.warning("WeCom cannot be reached", error=str(error) or "no answer")
            return None
        tasks = [asyncio.create_task(self._read(socket))]
        up_at_s = None
        try:
            if await self._subscribe(socket):
                up_at_s = self._mark_up(socket)
                tasks.append(asyncio.create_task(self._beat(socket)))
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._mark_down()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await socket.close()
        return up_at_s

    async def _subscribe(self, socket: aiohttp.ClientWebSocketResponse) -> bool:
        try:
            ack = await self._exchange(socket, "aibot_subscribe", new_req_id("aibot_subscribe"), self._credentials)
        except SendAmbiguousError as error:
            log.warning("WeCom did not answer the subscription", error=str(error))
            return False
        if ack.errcode == OK:
            self._refusals = 0
            return True
        log.error("WeCom refused the subscription", answer=str(ack))
        if ack.errcode in TOO_OFTEN:
            self._backoff_s = self._times.backoff_last_s
        else:
            self._refusals += 1
        return False

    async def _beat(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Ping until too many pings in a row were not answered."""
        missed = 0
        while missed < MISSED_PINGS:
            await asyncio.sleep(self._times.heartbeat_s)
            try:
                await self._exchange(socket, "ping", new_req_id("ping"), {})
                missed = 0
                if self._gaps:
                    self._gaps.alive()
            except SendAmbiguousError:
                missed += 1
        log.warning("WeCom answers no pings any more: connecting again")

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        try:
            await self._read_frames(socket)
        finally:
            self._give_up_waiting()

    async def _read_frames(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for part in socket:
            if part.type is not aiohttp.WSMsgType.TEXT:
                continue
            if self._socket is not None:
                link_of(PLATFORM).seen()
            try:
                frame = json.loads(part.data)
                command, req_id, body = frame.get("cmd"), str(frame["headers"]["req_id"]), frame.get("body")
            except (ValueError, KeyError, TypeError, AttributeError):
                log.warning("WeCom sent something that is no frame", size_bytes=len(part.data))
                continue
            if not command:
                self._settle(req_id, frame)
                continue
            if not isinstance(body, Mapping):
                continue
            if event_type(body) == "disconnected_event":
                self._taken_over = True
                return
            self._take(req_id, body)

    def _settle(self, req_id: str, frame: Frame) -> None:
        """Give an answer to whoever waits for it; one that nobody waits for is late."""
        future = self._waiting.get(req_id)
        if future is not None and not future.done():
            future.set_result(frame)
        elif self._unanswered.get(req_id, 0) > 1:
            self._unanswered[req_id] -= 1
        else:
            self._unanswered.pop(req_id, None)

    async def _exchange(
        self, socket: aiohttp.ClientWebSocketResponse, command: str, req_id: str, body: Mapping[str, Any]
    ) -> Ack:
        future = self._waiting[req_id] = asyncio.get_running_loop().create_future()
        frame = {"cmd": command, "headers": {"req_id": req_id}, "body": body}
        try:
            async with asyncio.timeout(self._times.answer_s):
                await socket.send_str(json.dumps(frame, ensure_ascii=False))
                answer = await future
        except TimeoutError as error:
            self._unanswered[req_id] = self._unanswered.get(req_id, 0) + 1
            raise SendAmbiguousError(f"WeCom did not answer within {self._times.answer_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise SendAmbiguousError(f"the link to WeCom broke: {error}") from error
        finally:
            self._waiting.pop(req_id, None)
        if answer is None:
            raise SendAmbiguousError("the link to WeCom broke")
        errcode = answer.get("errcode", OK)
        sure = req_id not in self._unanswered
        return Ack(errcode if isinstance(errcode, int) else -1, str(answer.get("errmsg", "")), sure)

    def _mark_up(self, socket: aiohttp.ClientWebSocketResponse) -> float:
        self._socket = socket
        link_of(PLATFORM).seen()
        if self._gaps:
            self._gaps.up()
        log.info("linked with WeCom")
        return time.monotonic()

    def _mark_down(self) -> None:
        if self._socket is not None and self._gaps:
            self._gaps.alive()
        self._socket = None
        link_of(PLATFORM).down()
        self._unanswered.clear()
        self._give_up_waiting()

    def _give_up_waiting(self) -> None:
        """No answer comes over this connection any more."""
        for future in self._waiting.values():
            if not future.done():
                future.set_result(None)


def new_req_id(command: str) -> str:
    """A request id of our own, which no other frame has."""
    return f"{command}_{uuid4().hex}"
