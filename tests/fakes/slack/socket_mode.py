"""Slack's side of Socket Mode: tickets, hello, pings, the ends of a connection, and the ways a link breaks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import WSMsgType, web

from tests.fakes.server import FakeServer, Fault
from tests.fakes.slack.rules import Rules
from tests.fakes.slack.workspace import APP

#: Reasons after which Slack does not keep the socket for a while.
AT_ONCE = ("link_disabled", "too_many_websockets")


@dataclass(slots=True, eq=False)
class Socket:
    """One connection of the app. A `draining` one gets no new event; a `black_hole` neither reads nor writes."""

    number: int
    ws: web.WebSocketResponse
    request: web.Request
    draining: bool = False
    black_hole: bool = False


class SocketMode:
    """Every connection of the app. `on_frame` is called with each JSON frame that the client sends."""

    def __init__(self, server: FakeServer, rules: Rules, on_frame: Callable[[dict[str, Any], Socket], None]) -> None:
        self.server = server
        self.rules = rules
        self.on_frame = on_frame
        self.sockets: list[Socket] = []
        self.accepted = 0
        self._tickets: dict[str, float] = {}
        self._random = random.Random(7)  # a fixed seed: the same run gives the same choice of sockets
        self._closing: set[asyncio.Task[None]] = set()

    def new_url(self, *, stale: bool = False) -> str:
        """A URL for one handshake; a `stale` one is refused like a ticket that was used already."""
        ticket = secrets.token_hex(16)
        if not stale:
            self._tickets[ticket] = time.monotonic() + self.rules.ticket_life_s
        return f"{self.server.url.replace('http', 'ws', 1)}/link/?ticket={ticket}&app_id={APP}"

    def pick(self, count: int = 1) -> list[Socket]:
        """Up to `count` different sockets that take events, at random."""
        ready = [socket for socket in self.sockets if not socket.draining]
        return self._random.sample(ready, min(count, len(ready)))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """``GET /link/``: one connection from handshake to end."""
        fault = self.server.take_fault("link")
        refusal = self._refusal(request, fault)
        if refusal:
            self.server.note("out", "handshake.refused", {"status": refusal, "url": str(request.rel_url)})
            return web.Response(status=refusal, text="Forbidden")
        ws = web.WebSocketResponse(autoping=False, autoclose=False, timeout=1.0)
        await ws.prepare(request)
        self.accepted += 1
        socket = Socket(self.accepted, ws, request)
        is_disabled = fault is not None and fault.name == "disabled"
        if is_disabled or len(self.sockets) >= self.rules.max_connections:
            await self._disconnect(socket, "link_disabled" if is_disabled else "too_many_websockets")
            return ws
        self.sockets.append(socket)
        async with self._clocks(socket):
            await self.send(socket, self._hello())
            await self._read(socket)
        return ws

    def _refusal(self, request: web.Request, fault: Fault | None) -> int | None:
        if fault and fault.name == "refuse":
            return int(fault.detail.get("status", 403))
        until_s = self._tickets.pop(request.query.get("ticket", ""), 0.0)
        return None if time.monotonic() <= until_s else 403

    def _hello(self) -> dict[str, Any]:
        return {
            "type": "hello",
            "num_connections": len(self.sockets),
            "connection_info": {"app_id": APP},
            "debug_info": {
                "host": "applink-fake",
                "started": time.strftime("%Y-%m-%d %H:%M:%S.000"),
                "build_number": 10,
                "approximate_connection_time": int(self.server.scaled(self.rules.connection_life_s)),
            },
        }

    @contextlib.asynccontextmanager
    async def _clocks(self, socket: Socket) -> AsyncIterator[None]:
        clocks = [asyncio.create_task(self._ping(socket)), asyncio.create_task(self._age(socket))]
        try:
            yield
        finally:
            self.sockets.remove(socket)
            for clock in clocks:
                clock.cancel()
            self.server.note("in", "socket.closed", {"socket": socket.number, "code": socket.ws.close_code})

    async def _ping(self, socket: Socket) -> None:
        while True:
            await asyncio.sleep(self.rules.server_ping_interval_s)
            if not socket.black_hole:
                with contextlib.suppress(ConnectionError):
                    await socket.ws.ping(b"Ping from applink-fake")

    async def _age(self, socket: Socket) -> None:
        grace_s = self.server.scaled(self.rules.disconnect_grace_s)
        await asyncio.sleep(self.server.scaled(self.rules.connection_life_s) - grace_s)
        await self.send(socket, disconnect_frame("warning"))
        await asyncio.sleep(grace_s)
        await self._disconnect(socket, "refresh_requested")

    async def _read(self, socket: Socket) -> None:
        while True:
            frame = await socket.ws.receive()
            if socket.black_hole and frame.type in (WSMsgType.TEXT, WSMsgType.PING, WSMsgType.PONG):
                continue
            if frame.type is WSMsgType.TEXT:
                body = json.loads(frame.data)
                self.server.note("in", "frame", {"socket": socket.number, **body})
                self.on_frame(body, socket)
            elif frame.type is WSMsgType.PING:
                self.server.note("in", "ping", {"socket": socket.number, "data": bytes(frame.data).decode()})
                await socket.ws.pong(frame.data)  # clients measure the link by the payload they get back
            elif frame.type is WSMsgType.CLOSE:
                if not socket.black_hole:
                    await socket.ws.close(code=frame.data or 1000)
                return
            elif frame.type in (WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                return

    async def send(self, socket: Socket, body: dict[str, Any]) -> None:
        """Write one frame; what is written to a broken or silent link is lost, as on a network."""
        self.server.note("out", body["type"], {"socket": socket.number, **body})
        if not socket.black_hole:
            with contextlib.suppress(ConnectionError):
                await socket.ws.send_str(json.dumps(body))

    async def disrupt(self, action: str, detail: dict[str, Any], socket: Socket | None = None) -> list[int]:
        """Break `socket`, or all of them: disconnect (reason), close (code), abort or black_hole.

        Returns the numbers of the sockets concerned. Raises ValueError for another action.
        """
        targets = [socket] if socket else list(self.sockets)
        for target in targets:
            self.server.note("out", f"link.{action}", {"socket": target.number, **detail})
            if action == "disconnect":
                await self._disconnect(target, detail.get("reason", "refresh_requested"))
            elif action == "close":
                self._later(0, target, detail.get("code", 1000))
            elif action == "abort":
                target.draining = True
                if target.request.transport:
                    target.request.transport.abort()
            elif action == "black_hole":
                target.black_hole = True
            else:
                raise ValueError(f"a link can disconnect, close, abort or be a black_hole, not {action!r}")
        return [target.number for target in targets]

    async def _disconnect(self, socket: Socket, reason: str) -> None:
        """Announce the end, and close after Slack's time of grace if the client has not by then."""
        socket.draining = reason != "warning"
        await self.send(socket, disconnect_frame(reason))
        grace_s = 0 if reason in AT_ONCE else self.server.scaled(self.rules.disconnect_grace_s)
        self._later(grace_s, socket, 1000)

    def _later(self, delay_s: float, socket: Socket, code: int) -> None:
        async def close() -> None:
            await asyncio.sleep(delay_s)
            await socket.ws.close(code=code)

        socket.draining = socket.draining or delay_s == 0
        task = asyncio.create_task(close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def disconnect_frame(reason: str) -> dict[str, Any]:
    """Slack's announcement that it will close a connection."""
    return {"type": "disconnect", "reason": reason, "debug_info": {"host": "applink-fake"}}
