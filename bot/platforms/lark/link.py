"""The long connection: the SDK's client in a thread of its own, and the watch over it.

The SDK's client (lark-oapi 1.7) runs its handlers on its own loop, has no way to stop it, ends up connected to nothing
for ever when discovery or the handshake is answered with a code that it does not know, and hands a fragmented event
that is delivered twice to its handler once a fragment. Each of these is answered here.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import structlog

from bot.link import link_of
from bot.platform import LinkDeadError
from bot.platforms.lark import metrics
from bot.platforms.lark.sdk import ws_client
from bot.waiting import is_set_within

Take = Callable[[bytes], Awaitable[dict[str, Any] | None]]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LinkTimes:
    """When the watch acts, in seconds. `silent_pings` is in the ping intervals that the platform sets (120 s)."""

    link_timeout_s: float = 300.0
    rebuild_after_s: float = 40.0
    silent_pings: float = 2.5
    check_s: float = 0.5
    pause_first_s: float = 1.0
    pause_last_s: float = 30.0
    join_within_s: float = 3.0


class LinkLife:
    """One life of the SDK's client: its thread, its loop, its connection. It is not started twice."""

    def __init__(self, app_id: str, app_secret: str, domain: str, take: Take) -> None:
        self._account = (app_id, app_secret, domain)
        self._take = take
        self._bot_loop = asyncio.get_running_loop()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: Any = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lark-link", daemon=True)
        self.heard_at_s = time.monotonic()
        self.error = ""

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    async def stop(self, within_s: float) -> None:
        """Close the connection and end the thread. One that hangs in a call for longer is left to end by itself."""
        self._stopped.set()
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                # A turn later: what is cancelled before its first step would be told to have never been awaited.
                self._loop.call_soon_threadsafe(self._loop.call_soon, self._cancel_all)
        await asyncio.to_thread(self._thread.join, within_s)
        if self._thread.is_alive():
            log.warning("the long connection's thread hangs and is left behind")

    @property
    def alive(self) -> bool:
        """Whether the SDK's client still runs at all."""
        return self._thread.is_alive()

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self.alive and self._client is not None and self._client._conn is not None

    @property
    def ping_interval_s(self) -> float:
        """How often the client has to hear from the platform."""
        return float(self._client._ping_interval) if self._client is not None else 120.0

    # --- in the thread

    def _run(self) -> None:
        loop = asyncio.new_event_loop()
        # The SDK takes its thread's loop when it is imported, and for whatever it does.
        asyncio.set_event_loop(loop)
        try:
            self._client = self._make_client(ws_client())
            self._loop = loop
            if not self._stopped.is_set():
                self._client.start()
        except asyncio.CancelledError:
            pass
        except Exception as error:
            self.error = f"{type(error).__name__}: {error}"
        finally:
            self._end(loop)

    def _make_client(self, sdk: Any) -> Any:
        app_id, app_secret, domain = self._account
        client = sdk.Client(app_id, app_secret, log_level=sdk.LogLevel.CRITICAL, domain=domain)
        connect, handle_message = client._connect, client._handle_message

        async def noted_connect() -> None:
            try:
                await connect()
            except Exception as error:
                self.error = f"{type(error).__name__}: {error}"
                raise
            finally:
                if self._stopped.is_set():  # while it hung in the call, another was built in its place
                    raise asyncio.CancelledError
            self.heard_at_s, self.error = time.monotonic(), ""

        async def noted_handle_message(raw: bytes) -> None:
            self.heard_at_s = time.monotonic()
            await handle_message(raw)

        client._connect = noted_connect
        client._handle_message = noted_handle_message
        client._handle_data_frame = self._answer_frame
        return client

    def _cancel_all(self) -> None:
        if self._client is not None and self._client._conn is not None:
            # Not close(): that waits for the other side, which may be gone.
            self._client._conn.transport.abort()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()

    def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        """Leave nothing behind in the loop."""
        try:
            if self._client is not None and self._client._conn is not None:
                self._client._conn.transport.abort()
                self._client._conn = None
            for _ in range(3):
                tasks = asyncio.all_tasks(loop)
                for task in tasks:
                    task.cancel()
                loop.run_until_complete(asyncio.gather(*tasks, asyncio.sleep(0, None), return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    async def _answer_frame(self, frame: Any) -> None:
        """Take an event in on the bot's loop, and send the response frame: code 200 only when it is safe.

        In the place of the SDK's own method, which blocks the loop, and with it the pings, until the handler returns.
        """
        headers = {header.key: header.value for header in frame.headers}
        payload = frame.payload
        pieces = int(headers.get("sum", "1"))
        if pieces > 1:
            payload = self._client._combine(headers["message_id"], pieces, int(headers["seq"]), payload)
            if payload is None:
                return
            # Else each further fragment of the same event would make it whole again.
            self._client._cache._cache.pop(headers["message_id"], None)
        if headers.get("type") != "event":
            return
        began_s = time.monotonic()
        response: dict[str, Any] = {"code": 200}
        try:
            future = asyncio.run_coroutine_threadsafe(self._taken(payload), self._bot_loop)
            answer = await asyncio.wrap_future(future)
            if answer is not None:
                response["data"] = base64.b64encode(json.dumps(answer, ensure_ascii=False).encode()).decode()
        except Exception:
            response["code"] = 500
        spent = frame.headers.add()
        spent.key, spent.value = "biz_rt", str(int((time.monotonic() - began_s) * 1000))
        frame.payload = json.dumps(response).encode()
        await self._client._write_message(frame.SerializeToString())

    async def _taken(self, payload: bytes) -> dict[str, Any] | None:
        return await self._take(payload)


class LongLink:
    """Keeps a LinkLife up: builds it anew when it is dead, unconnected or silent, and gives up after a while."""

    def __init__(self, app_id: str, app_secret: str, domain: str, take: Take, times: LinkTimes) -> None:
        self._account = (app_id, app_secret, domain)
        self._take = take
        self._times = times

    async def run(self, closed: asyncio.Event) -> None:
        """Serve until `closed` is set; raises LinkDeadError."""
        life: LinkLife | None = None
        well_at_s = time.monotonic()
        pause_s = self._times.pause_first_s
        try:
            while not closed.is_set():
                life = LinkLife(*self._account, self._take)
                life.start()
                began_s = time.monotonic()
                reason, well_at_s = await self._watch(life, well_at_s, closed)
                if closed.is_set():
                    return
                metrics.link_rebuilds.labels(reason).inc()
                log.warning("the long connection is built anew", reason=reason, error=life.error)
                await life.stop(self._times.join_within_s)
                life = None
                pause_s = (
                    self._times.pause_first_s if well_at_s > began_s else min(2 * pause_s, self._times.pause_last_s)
                )
                await is_set_within(
                    closed, min(pause_s, max(0.0, well_at_s + self._times.link_timeout_s - time.monotonic()))
                )
        finally:
            link_of("lark").down()
            if life is not None:
                await life.stop(self._times.join_within_s)

    async def _watch(self, life: LinkLife, well_at_s: float, closed: asyncio.Event) -> tuple[str, float]:
        """Why this life has to end, and when all was well last; raises LinkDeadError where that is too long ago."""
        began_s = time.monotonic()
        while not await is_set_within(closed, self._times.check_s):
            now_s = time.monotonic()
            silent = now_s - life.heard_at_s > self._times.silent_pings * life.ping_interval_s
            well = life.connected and not silent
            (link_of("lark").seen if well else link_of("lark").down)()
            if well:
                well_at_s = now_s
                continue
            reason = "silent" if life.connected else "unconnected" if life.alive else "dead"
            if now_s - well_at_s > self._times.link_timeout_s:
                why = f": {life.error}" if life.error else ""
                raise LinkDeadError(
                    f"Lark's long connection is {reason} for {now_s - well_at_s:.0f} s and does not come back{why}"
                )
            if reason != "unconnected" or now_s - max(well_at_s, began_s) > self._times.rebuild_after_s:
                return reason, well_at_s
        return "closed", well_at_s
