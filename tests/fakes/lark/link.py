"""The long connection: discovery, handshake, pings, event frames and the answers to them."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from aiohttp import WSCloseCode, WSMsgType, web

from tests.fakes.lark.delivery import Answer
from tests.fakes.lark.frame import CONTROL, DATA, Frame, FrameError, decode, fragments
from tests.fakes.lark.gateway import Call, Gateway
from tests.fakes.server import Fault

_SERVICE_ID = 33554678

PUSH_FAULTS = ("fragments", "lost_fragment", "duplicate", "duplicate_event", "card_frame", "lost", "close", "abort")
HANDSHAKE_FAULTS = ("refuse", "hang")
PING_FAULTS = ("mute", "reconfigure")


@dataclass(slots=True, eq=False)
class Connection:
    """One open connection; a `silent` one stays open and neither hears nor says anything any more."""

    device_id: str
    socket: web.WebSocketResponse
    request: web.Request
    silent: bool = False
    waiting: dict[str, asyncio.Future[Answer]] = field(default_factory=dict)  # by the frame's message_id

    async def send(self, frame: Frame) -> None:
        """Send a frame, if the connection speaks at all."""
        if not self.silent and not self.socket.closed:
            await self.socket.send_bytes(frame.encode())


class Link:
    """Serves ``POST /callback/ws/endpoint`` and ``GET /ws/v2``; each event goes to one connection, chosen at random.

    Faults by kind. ``endpoint``: those of the gateway. ``handshake``: ``refuse`` (`status` 403 or 514, `auth_code`),
    ``hang``. ``ping``: ``mute``, ``reconfigure`` (`config`). ``event``: ``fragments`` (`count`, `copies`),
    ``lost_fragment`` (`count`), ``duplicate`` (`copies`, one message_id), ``duplicate_event`` (another message_id and,
    if there is one, another connection), ``card_frame``, ``lost``, ``out_of_order`` (after the next event), ``close``
    and ``abort`` right after the event was sent. ``event.again``: the same for pushes after the first.
    """

    fault_kind = "event"

    def __init__(self, gateway: Gateway, client_config: Mapping[str, float]) -> None:
        self.gateway = gateway
        self.server = gateway.server
        self.client_config = client_config
        self.connections: list[Connection] = []
        self._tickets: dict[str, str] = {}  # ticket -> device_id

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Serve discovery and the WebSocket."""
        self.gateway.add_open(router, "/callback/ws/endpoint", "endpoint", self.endpoint)
        router.add_get("/ws/v2", self.serve)

    # --- coming in

    async def endpoint(self, call: Call) -> dict[str, Any]:
        """Where to connect: a URL that is good for one handshake, and the client's times in seconds."""
        codes = self.gateway.rules.codes
        self.gateway.check_app(call.body.get("AppID"), call.body.get("AppSecret"), codes.endpoint_auth)
        device_id, ticket = str(secrets.randbits(62)), secrets.token_hex(16)
        self._tickets[ticket] = device_id
        query = {
            "device_id": device_id,
            "service_id": _SERVICE_ID,
            "access_key": secrets.token_hex(8),
            "ticket": ticket,
        }
        url = f"ws://127.0.0.1:{self.server.port}/ws/v2?{urlencode(query)}"
        return {"data": {"URL": url, "ClientConfig": self.client_config}}

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """The handshake and then the connection's whole life."""
        if refusal := await self._refusal(request):
            self.server.note("out", "handshake", dict(refusal.headers))
            return refusal
        socket = web.WebSocketResponse(autoping=False, max_msg_size=8 * 2**20)
        await socket.prepare(request)
        connection = Connection(request.query["device_id"], socket, request)
        self.connections.append(connection)
        self.server.note("in", "connected", {"device_id": connection.device_id})
        try:
            async for received in socket:
                if connection.silent:
                    continue
                if received.type is WSMsgType.PING:
                    await socket.pong(received.data)
                elif received.type is WSMsgType.BINARY:
                    await self._hear(connection, received.data)
        finally:
            self.connections.remove(connection)
            self.server.note("in", "disconnected", {"device_id": connection.device_id, "code": socket.close_code})
        return socket

    async def _refusal(self, request: web.Request) -> web.Response | None:
        fault = self.server.take_fault("handshake")
        known = self._tickets.pop(request.query.get("ticket", ""), None)
        codes = self.gateway.rules.codes
        if fault and fault.name == "hang":
            await self.gateway.release.wait()
        if fault and fault.name == "refuse":
            return _refused(fault.detail.get("status", 514), fault.detail.get("auth_code", 0))
        if known is None or known != request.query.get("device_id"):
            return _refused(514, codes.endpoint_auth)
        if len(self.connections) >= self.gateway.rules.connections_max:
            return _refused(514, codes.too_many_connections)
        return None

    # --- hearing

    async def _hear(self, connection: Connection, data: bytes) -> None:
        try:
            frame = decode(data)
        except FrameError as error:
            self.server.note("in", "broken_frame", {"error": str(error), "bytes": data.hex()})
            return
        told = {"device_id": connection.device_id, "headers": frame.headers, "payload": frame.payload.decode()}
        if frame.method == CONTROL and frame.headers.get("type") == "ping":
            self.server.note("in", "ping", told)
            await self._pong(connection)
        elif frame.method == DATA:
            self.server.note("in", "response", told)
            self._answered(connection, frame)
        else:
            self.server.note("in", "unknown_frame", told)

    async def _pong(self, connection: Connection) -> None:
        fault = self.server.take_fault("ping")
        payload = b""
        if fault and fault.name == "mute":
            return
        if fault and fault.name == "reconfigure":
            payload = json.dumps({**self.client_config, **fault.detail["config"]}).encode()
        await connection.send(Frame(CONTROL, {"type": "pong"}, payload, _SERVICE_ID))
        self.server.note("out", "pong", {"device_id": connection.device_id, "payload": payload.decode()})

    def _answered(self, connection: Connection, frame: Frame) -> None:
        waiting = connection.waiting.get(frame.headers.get("message_id", ""))
        if waiting is None or waiting.done():
            return  # an answer too late or a second one; the journal has it
        try:
            body = json.loads(frame.payload)
            data = json.loads(base64.b64decode(body["data"])) if body.get("data") else None
            waiting.set_result(Answer(int(body["code"]), data))
        except (ValueError, KeyError, TypeError) as error:
            self.server.note("in", "broken_response", {"error": str(error), "payload": frame.payload.decode()})

    # --- saying

    async def push(self, event: dict[str, Any], fault: Fault | None) -> Answer:
        """Send an event to one connection and wait for the response frame."""
        if not self.connections:
            raise ConnectionError("no connection")
        connection = random.choice(self.connections)
        name, detail = (fault.name, fault.detail) if fault else ("", {})
        frame = _event_frame(event, "card" if name == "card_frame" else "event")
        message_id = frame.headers["message_id"]
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        connection.waiting[message_id] = answer
        told = {"device_id": connection.device_id, "message_id": message_id, "event": event, "fault": name}
        self.server.note("out", "event", told)
        try:
            for piece in _pieces(frame, name, detail):
                await connection.send(piece)
            await self._afterwards(name, detail, event, connection)
            return await answer
        finally:
            del connection.waiting[message_id]

    async def _afterwards(self, name: str, detail: dict[str, Any], event: dict[str, Any], used: Connection) -> None:
        if name == "duplicate_event":
            others = [connection for connection in self.connections if connection is not used]
            await random.choice(others or [used]).send(_event_frame(event, "event"))
        elif name == "close":
            await used.socket.close(code=detail.get("code", WSCloseCode.GOING_AWAY))
        elif name == "abort":
            _abort(used)

    # --- from outside

    async def close(self, code: int = 1000) -> None:
        """Close every connection in good order."""
        for connection in list(self.connections):
            await connection.socket.close(code=code)

    async def abort(self) -> None:
        """Cut every connection without a word."""
        for connection in list(self.connections):
            _abort(connection)

    async def silence(self) -> None:
        """Every connection there is now stays open and goes dead: no pong, no event, nothing heard."""
        for connection in self.connections:
            connection.silent = True


def _event_frame(event: dict[str, Any], kind: str) -> Frame:
    headers = {
        "type": kind,
        "message_id": secrets.token_hex(16),
        "sum": "1",
        "seq": "0",
        "trace_id": secrets.token_hex(16),
        "timestamp": str(time.time_ns() // 1_000_000),
    }
    payload = json.dumps(event, ensure_ascii=False).encode()
    return Frame(DATA, headers, payload, _SERVICE_ID, seq_id=secrets.randbits(48), log_id=secrets.randbits(62))


def _pieces(frame: Frame, fault: str, detail: dict[str, Any]) -> list[Frame]:
    count = detail.get("count", 3)
    if fault == "lost":
        return []
    if fault == "lost_fragment":
        return fragments(frame, count)[:-1]
    if fault == "duplicate":
        return [frame] * detail.get("copies", 2)
    if fault == "fragments":
        pieces = fragments(frame, count)
        return [piece for _ in range(detail.get("copies", 1)) for piece in reversed(pieces)]  # never in order
    return [frame]


def _refused(status: int, auth_code: int) -> web.Response:
    headers = {
        "handshake-status": str(status),
        "handshake-msg": "forbidden" if status == 403 else "auth failed",
        "handshake-autherrcode": str(auth_code),
    }
    return web.Response(status=400, headers=headers)


def _abort(connection: Connection) -> None:
    if connection.request.transport is not None:
        connection.request.transport.abort()
