"""The long connection of an AI bot: JSON frames over a WebSocket, one live connection for a bot."""

import asyncio
import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from tests.fakes.server import Fault
from tests.fakes.wecom import rules
from tests.fakes.wecom.rules import RateWindow, RefusedError
from tests.fakes.wecom.world import World

REPLY_COMMANDS = {
    "aibot_respond_msg": "message",
    "aibot_respond_welcome_msg": "enter_chat",
    "aibot_respond_update_msg": "template_card_event",
}


@dataclass(slots=True)
class Callback:
    """Something that the bot was told and may reply to, by its req_id."""

    req_id: str
    kind: str  # message, or the event's type
    chatid: str
    msgid: str
    at_s: float
    link: "Link"


@dataclass(eq=False, slots=True)
class Link:
    """One WebSocket, subscribed or not yet."""

    socket: web.WebSocketResponse
    request: web.Request
    subscribed: bool = False
    unanswered: dict[str, float] = field(default_factory=dict)  # req_id -> when its answer began to be held back


class LongLink:
    """Takes the frames of the bot's connections, and pushes callbacks down the one that is subscribed."""

    def __init__(self, world: World) -> None:
        self.lost: list[dict[str, Any]] = []  # bodies that found no connection
        self.links: list[Link] = []
        self._world = world
        self._callbacks: dict[str, Callback] = {}
        self._subscribes = RateWindow({60.0: world.points.subscribes_per_min})
        self._late_answers: set[asyncio.Task[None]] = set()

    @property
    def live(self) -> Link | None:
        """The subscribed connection, if there is one."""
        return next((link for link in self.links if link.subscribed and not link.socket.closed), None)

    # --- towards the bot

    async def push(self, command: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send a callback; what finds no connection is lost, for nothing is kept and sent later."""
        fault = self._world.server.take_fault(command)
        link = self.live
        if link is None or (fault and fault.name == "lose"):
            self.lost.append(body)
            self._world.server.note("out", "lost", body)
            return {"msgid": body["msgid"], "delivered": False, "req_ids": []}
        times = 2 if fault and fault.name == "duplicate" else 1
        req_ids = [await self._push_once(link, command, body) for _ in range(times)]
        if fault and fault.name == "abort":
            self.abort()
        return {"msgid": body["msgid"], "delivered": True, "req_ids": req_ids}

    async def _push_once(self, link: Link, command: str, body: dict[str, Any]) -> str:
        req_id = secrets.token_urlsafe(16)
        kind = body["event"]["eventtype"] if body["msgtype"] == "event" else "message"
        chatid = body.get("chatid") or body["from"]["userid"]
        self._callbacks[req_id] = Callback(req_id, kind, chatid, body["msgid"], self._world.clock.now_s(), link)
        await self._send(link, {"cmd": command, "headers": {"req_id": req_id}, "body": body}, command)
        return req_id

    async def kick(self, link: Link | None = None) -> None:
        """What a second instance's subscription does to the connection that was there first."""
        link = link or self.live
        if link is None:
            return
        link.subscribed = False
        body = {
            "msgid": secrets.token_hex(16),
            "create_time": int(time.time()),
            "aibotid": self._world.account.bot_id,
            "msgtype": "event",
            "event": {"eventtype": "disconnected_event"},
        }
        req_id = secrets.token_urlsafe(16)
        frame = {"cmd": "aibot_event_callback", "headers": {"req_id": req_id}, "body": body}
        await self._send(link, frame, "disconnected_event")
        await link.socket.close(code=WSCloseCode.OK, message=b"new connection")

    async def close(self, code: int = 1000) -> None:
        """Close every connection with a close frame."""
        for link in list(self.links):
            link.subscribed = False
            await link.socket.close(code=code)

    def abort(self) -> None:
        """Cut every connection without a word."""
        for link in list(self.links):
            self._cut(link)

    @staticmethod
    def _cut(link: Link) -> None:
        link.subscribed = False
        if link.request.transport is not None:
            link.request.transport.abort()

    # --- from the bot

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one connection until it closes."""
        fault = self._world.server.take_fault("connect")
        if fault:
            return web.Response(status=fault.detail.get("status", 503))
        socket = web.WebSocketResponse(max_msg_size=16 * 2**20)
        await socket.prepare(request)
        link = Link(socket, request)
        self.links.append(link)
        self._world.server.note("in", "connect", None)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._take(link, message.data)
        finally:
            self.links.remove(link)
            self._world.server.note("in", "disconnect", socket.close_code)
        return socket

    async def _take(self, link: Link, text: str) -> None:
        try:
            frame = json.loads(text)
            command, req_id = frame["cmd"], frame["headers"]["req_id"]
        except (ValueError, KeyError, TypeError):
            self._world.board.notice("shape", f"no frame: {text[:200]}")
            return
        self._world.server.note("in", command, frame)
        waiting_since_s = link.unanswered.pop(req_id, None)
        if waiting_since_s is not None and self._world.clock.now_s() - waiting_since_s < rules.ANSWER_WAIT_S:
            self._world.board.notice("overlap", f"{command} {req_id} before the answer to the one before it")
        fault = self._world.server.take_fault(command)
        if fault and fault.name == "drop":
            return
        if fault and fault.name == "errcode":
            answer = {"errcode": fault.detail["errcode"], "errmsg": fault.detail.get("errmsg", "fault")}
        else:
            answer = self._world.board.guard(lambda: self._act(link, command, req_id, frame.get("body") or {}), command)
        if command == "aibot_subscribe" and answer["errcode"] == rules.OK:
            await self._subscribe(link)
        await self._answer(link, {"headers": {"req_id": req_id}, **answer}, fault)

    async def _answer(self, link: Link, frame: dict[str, Any], fault: Fault | None) -> None:
        """Answer, or show the fault of a frame that took effect although the bot cannot know it."""
        req_id = frame["headers"]["req_id"]
        match fault.name if fault else "":
            case "mute":
                link.unanswered[req_id] = self._world.clock.now_s()
            case "close":
                link.subscribed = False
                await link.socket.close(code=fault.detail.get("code", 1000) if fault else 1000)
            case "abort":
                self._cut(link)
            case "slow":
                link.unanswered[req_id] = self._world.clock.now_s()
                delay_s = fault.detail["delay_s"] if fault else 0
                task = asyncio.create_task(self._answer_late(link, frame, delay_s))
                self._late_answers.add(task)
                task.add_done_callback(self._late_answers.discard)
            case _:
                await self._send(link, frame, "ack")

    async def _answer_late(self, link: Link, frame: dict[str, Any], delay_s: float) -> None:
        await asyncio.sleep(self._world.server.scaled(delay_s))
        link.unanswered.pop(frame["headers"]["req_id"], None)
        await self._send(link, frame, "ack")

    async def _send(self, link: Link, frame: dict[str, Any], kind: str) -> None:
        if link.socket.closed:
            return
        self._world.server.note("out", kind, frame)
        await link.socket.send_str(json.dumps(frame, ensure_ascii=False))

    # --- rules

    async def _subscribe(self, link: Link) -> None:
        """The newest subscription has the bot; whoever had it is told and closed."""
        for older in [other for other in self.links if other.subscribed and other is not link]:
            await self.kick(older)
        link.subscribed = True
        self._world.server.note("in", "subscribed", self._world.account.bot_id)

    def _act(self, link: Link, command: str, req_id: str, body: dict[str, Any]) -> dict[str, Any]:
        if command == "aibot_subscribe":
            return self._check_subscription(body)
        if not link.subscribed:
            raise RefusedError(rules.INVALID_CREDENTIAL, "not subscribed", "not_subscribed")
        if command == "ping":
            return _ok()
        if command == "aibot_send_msg":
            return self._push_message(body)
        if command in REPLY_COMMANDS:
            return self._reply(command, self._find(link, command, req_id), body)
        raise RefusedError(rules.INVALID_PARAMETER, f"unknown cmd {command}", "shape")

    def _check_subscription(self, body: dict[str, Any]) -> dict[str, Any]:
        if not self._subscribes.admit(self._world.clock.now_s()):
            raise RefusedError(rules.TOO_OFTEN, "subscribe too often", "subscribe_rate")
        account = self._world.account
        if body.get("bot_id") != account.bot_id or body.get("secret") != account.secret:
            raise RefusedError(rules.INVALID_CREDENTIAL, "invalid credential", "credential")
        return _ok()

    def _find(self, link: Link, command: str, req_id: str) -> Callback:
        """The callback that a reply belongs to, as long as it may be replied to this way."""
        callback = self._callbacks.get(req_id)
        life_s = rules.REPLY_LIFE_S if command == "aibot_respond_msg" else rules.EVENT_REPLY_LIFE_S
        usable = (
            callback is not None
            and callback.kind == REPLY_COMMANDS[command]
            and self._world.clock.now_s() - callback.at_s <= life_s
            and (self._world.points.req_ids_survive_reconnect or callback.link is link)
        )
        if callback is None or not usable:
            raise RefusedError(rules.INVALID_REQ_ID, "invalid req_id", "req_id")
        return callback

    def _reply(self, command: str, callback: Callback, body: dict[str, Any]) -> dict[str, Any]:
        via = "welcome" if command == "aibot_respond_welcome_msg" else "reply"
        board, kind = self._world.board, body.get("msgtype")
        if command == "aibot_respond_update_msg":
            body = {"msgtype": "template_card", "template_card": body.get("template_card")}
        elif kind in ("stream", "stream_with_template_card"):
            stream = body.get("stream")
            if not isinstance(stream, dict) or via == "welcome":
                raise RefusedError(rules.INVALID_PARAMETER, "no stream here", "shape")
            expires_at_s = self._world.clock.now_s() + rules.STREAM_LIFE_S
            board.show_stream(callback.chatid, stream, via, callback.msgid, expires_at_s)
            if not body.get("template_card"):
                return _ok()
            body = {"msgtype": "template_card", "template_card": body["template_card"]}
        board.show(callback.chatid, body, via, callback.msgid)
        return _ok()

    def _push_message(self, body: dict[str, Any]) -> dict[str, Any]:
        chatid = body.get("chatid")
        if not isinstance(chatid, str) or not self._world.board.has_spoken(chatid):
            raise RefusedError(rules.UNKNOWN_CHAT, "nobody has spoken to the bot there", "unknown_chat")
        if body.get("msgtype") == "text":
            raise RefusedError(rules.INVALID_PARAMETER, "text is not one of the pushed kinds", "shape")
        self._world.board.show(chatid, body, "push")
        return _ok()


def _ok() -> dict[str, Any]:
    return {"errcode": rules.OK, "errmsg": "ok"}
