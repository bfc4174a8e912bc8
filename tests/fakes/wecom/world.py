"""What the three ways to the bot share: its account, the conversations, the clock, and what people send."""

import base64
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.fakes.server import FakeServer, Fault
from tests.fakes.wecom import crypto, rules
from tests.fakes.wecom.board import Board
from tests.fakes.wecom.clock import Clock
from tests.fakes.wecom.rules import OpenPoints

GROUP_KINDS = ("text", "mixed")
SINGLE_KINDS = (*GROUP_KINDS, "image", "voice", "file", "video")
TINY_PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@dataclass(slots=True)
class Account:
    """The bot as its owner set it up."""

    bot_id: str = field(default_factory=lambda: f"aib{secrets.token_hex(8)}")
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    token: str = field(default_factory=lambda: secrets.token_hex(12))
    aes_key: str = field(default_factory=crypto.new_aes_key)
    bot_name: str = "茴香"


@dataclass(slots=True)
class World:
    """One bot's platform. `server` gives the journal, the faults and the address."""

    server: FakeServer
    clock: Clock
    board: Board
    account: Account
    points: OpenPoints
    response_codes: dict[str, dict[str, Any]] = field(default_factory=dict)
    media: dict[str, tuple[float, bytes]] = field(default_factory=dict)

    def new_message(self, event: dict[str, Any], *, media_with_own_key: bool) -> dict[str, Any]:
        """The body of a message callback out of an injected event, and its bubble on the board.

        Raises ValueError for a message that the platform would not let a person send to the bot.
        """
        group = event.get("chattype", "group" if event.get("chatid") else "single") == "group"
        user = event.get("user", "zhang.san")
        kind = event.get("msgtype", "text")
        if kind not in (GROUP_KINDS if group else SINGLE_KINDS):
            raise ValueError(f"a {kind} message does not reach the bot from a {'group' if group else 'single'} chat")
        chatid = event.get("chatid", "wr_team") if group else user
        body: dict[str, Any] = {
            "msgid": event.get("msgid") or secrets.token_hex(16),
            "aibotid": self.account.bot_id,
            "chattype": "group" if group else "single",
            "from": {"userid": user},
            "msgtype": kind,
            "create_time": event.get("create_time", int(time.time())),
        }
        if group:
            body["chatid"] = chatid
        body[kind] = self._part(kind, event, mention=group and event.get("mention", True), own_key=media_with_own_key)
        if "quote" in event:
            quote = event["quote"]
            body["quote"] = {"msgtype": "text", "text": {"content": quote}} if isinstance(quote, str) else quote
        body["response_url"] = self._response_url(chatid, body["msgid"])
        self.board.speak(chatid, user, kind, self._as_seen(kind, body[kind]))
        return body

    def new_event(self, event: dict[str, Any]) -> dict[str, Any]:
        """The body of an event callback: enter_chat, feedback_event or template_card_event."""
        kind = event["eventtype"]
        if kind not in ("enter_chat", "feedback_event", "template_card_event"):
            raise ValueError(f"a person causes no {kind}")
        body: dict[str, Any] = {
            "msgid": event.get("msgid") or secrets.token_hex(16),
            "aibotid": self.account.bot_id,
            "create_time": event.get("create_time", int(time.time())),
            "from": {"userid": event.get("user", "zhang.san")},
            "chattype": "group" if event.get("chatid") else "single",
            "msgtype": "event",
            "event": {"eventtype": kind},
        }
        if event.get("chatid"):
            body["chatid"] = event["chatid"]
        if kind != "enter_chat":
            body["event"][kind] = event["detail"]
        return body

    def reaches_bot(self, body: dict[str, Any]) -> bool:
        """In a group only what names the bot with ``@`` is passed on."""
        return body["chattype"] == "single" or f"@{self.account.bot_name}" in self._as_seen(
            body["msgtype"], body[body["msgtype"]]
        )

    def _part(self, kind: str, event: dict[str, Any], *, mention: bool, own_key: bool) -> dict[str, Any]:
        text = event.get("text", "")
        if mention:
            text = f"@{self.account.bot_name} {text}"
        if kind == "text":
            return {"content": text}
        if kind == "voice":
            return {"content": event["text"]}
        if kind == "mixed":
            image = {"msgtype": "image", "image": self._download(event, own_key)}
            return {"msg_item": [{"msgtype": "text", "text": {"content": text}}, image]}
        return self._download(event, own_key)

    def _download(self, event: dict[str, Any], own_key: bool) -> dict[str, Any]:
        """A link that lives for five minutes, to a file encrypted with a key of its own or with the account's."""
        content = base64.b64decode(event["bytes"]) if "bytes" in event else TINY_PNG
        key = secrets.token_bytes(32) if own_key else crypto.key_bytes(self.account.aes_key)
        name = secrets.token_hex(12)
        self.media[name] = (self.clock.now_s() + rules.MEDIA_LIFE_S, crypto.encrypt_media(key, content))
        link = {"url": f"{self.server.url}/media/{name}"}
        return link | ({"aeskey": base64.b64encode(key).decode()} if own_key else {})

    def _response_url(self, chatid: str, msgid: str) -> str:
        code = secrets.token_urlsafe(24)
        expires_at_s = self.clock.now_s() + self.points.response_url_life_s
        self.response_codes[code] = {"chatid": chatid, "msgid": msgid, "expires_at_s": expires_at_s, "used": False}
        return f"{self.server.url}/cgi-bin/aibot/response?response_code={code}"

    @staticmethod
    def _as_seen(kind: str, part: dict[str, Any]) -> str:
        if kind == "mixed":
            return "".join(item["text"]["content"] for item in part["msg_item"] if item["msgtype"] == "text")
        return str(part.get("content", f"[{kind}]"))


async def answer_http_fault(fault: Fault, request: web.Request) -> web.Response | None:
    """What the caller gets to see of a fault, for the kinds that every HTTP call shares; None for the others."""
    if fault.name == "status":
        return web.Response(status=fault.detail.get("status", 502), text="<html>Bad Gateway</html>")
    if fault.name in ("abort", "commit_then_abort"):
        assert request.transport is not None
        request.transport.abort()
        return web.Response(status=500)
    if fault.name == "broken_json":
        return web.Response(text='{"errcode": 0, "errm', content_type="application/json")
    return None
