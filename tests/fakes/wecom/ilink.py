"""iLink, the interface for direct messages of personal WeChat: log in by QR code, long poll, send.

Source: the code of ``@tencent-weixin/openclaw-weixin`` 2.4.9; Tencent publishes no server documentation.
"""

import asyncio
import base64
import contextlib
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiohttp import web

from tests.fakes.wecom import rules
from tests.fakes.wecom.rules import RefusedError
from tests.fakes.wecom.world import World, answer_http_fault

T = TypeVar("T")

FIRST_MESSAGE_ID = 2**63 + 1  # ids are uint64: a client that reads them as doubles or int64 loses digits
ITEM_TYPES = {"text": 1, "image": 2, "voice": 3, "file": 4, "video": 5}


@dataclass(slots=True)
class QrCode:
    """A code that somebody may scan with their phone."""

    code: str
    expires_at_s: float
    status: str = "wait"  # then scaned (spelled so), confirmed, or expired
    told: str = ""  # the status that the last poll brought
    digits: str = ""  # what the phone shows (need_verifycode), or the host to go on at (scaned_but_redirect)


@dataclass(slots=True)
class Person:
    """Somebody who writes to the bot, and what the bot may still send there."""

    context_tokens: dict[str, float] = field(default_factory=dict)  # token -> when it ends
    unanswered: int = 0
    client_ids: set[str] = field(default_factory=set)


class ILink:
    """The server behind the base URL. Messages are kept until the client comes back with a later cursor."""

    def __init__(self, world: World) -> None:
        self.bot_id = f"{secrets.token_hex(6)}@im.bot"
        self.token = ""
        self.messages: list[dict[str, Any]] = []
        self.acknowledged = 0  # how many messages the newest cursor covers
        self._world = world
        self._codes: dict[str, QrCode] = {}
        self._people: dict[str, Person] = {}
        self._changed = asyncio.Event()
        self._next_message_id = FIRST_MESSAGE_ID

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add ``/ilink/bot/…``. The QR code is fetched by GET in older clients and by POST in newer ones."""
        for method in ("GET", "POST"):
            router.add_route(method, "/ilink/bot/get_bot_qrcode", self._new_code)
        router.add_get("/ilink/bot/get_qrcode_status", self._code_status)
        for name, act in {
            "getupdates": self._get_updates,
            "sendmessage": self._send_message,
            "getconfig": self._get_config,
            "sendtyping": self._nothing_to_do,
            "msg/notifystart": self._nothing_to_do,
            "msg/notifystop": self._nothing_to_do,
        }.items():
            router.add_post(f"/ilink/bot/{name}", self._authorised(name, act))

    # --- what people do

    def scan(self, status: str = "confirmed", digits: str = "") -> str:
        """Somebody scans or confirms the newest code; gives the bot's token once it is confirmed.

        With need_verifycode the phone shows `digits`, and the code is confirmed by whoever gives them.
        """
        if not self._codes:
            raise ValueError("no code was asked for")
        code = list(self._codes.values())[-1]
        code.status, code.digits = status, digits
        if status in ("confirmed", "need_verifycode"):
            self.token = self.token or f"{self.bot_id}:{secrets.token_hex(20)}"
        self.wake()
        return self.token

    def write(self, event: dict[str, Any]) -> dict[str, Any]:
        """Somebody writes a direct message to the bot: text, voice (with its text) or image."""
        user, kind = event.get("user", "o9cq80zhang@im.wechat"), event.get("msgtype", "text")
        person = self._people.setdefault(user, Person())
        context_token = secrets.token_urlsafe(24)
        person.context_tokens[context_token] = self._world.clock.now_s() + rules.CONTEXT_LIFE_S
        person.unanswered = 0
        item: dict[str, Any] = {"type": ITEM_TYPES[kind]}
        text = event.get("text", "")
        if kind == "text":
            item["text_item"] = {"text": text}
        elif kind == "voice":
            item["voice_item"] = {"text": text, "playtime": 1000}
        else:
            item[f"{kind}_item"] = {"media": {"full_url": f"{self._world.server.url}/media/none"}}
        message = {
            "seq": len(self.messages) + 1,
            "message_id": self._new_message_id(),
            "from_user_id": user,
            "to_user_id": self.bot_id,
            "client_id": secrets.token_hex(8),
            "create_time_ms": event.get("create_time_ms", int(time.time() * 1000)),
            "session_id": f"{user}#{self.bot_id}",
            "message_type": 1,
            "message_state": 2,
            "item_list": [item],
            "context_token": context_token,
        }
        self.messages.append(message)
        self._world.board.speak(user, user, kind, text or f"[{kind}]")
        self.wake()
        return {"message_id": str(message["message_id"]), "context_token": context_token}

    def expire_token(self) -> None:
        """Make the token stale: every call gets -14 until somebody logs in again."""
        self.token = ""
        self.wake()

    def wake(self) -> None:
        """Let the long polls look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    def unacknowledged(self) -> list[dict[str, Any]]:
        """Messages that no cursor covers yet: what a client that starts again gets once more."""
        return self.messages[self.acknowledged :]

    # --- login

    async def _new_code(self, request: web.Request) -> web.Response:
        self._world.server.note("in", "get_bot_qrcode", dict(request.query))
        if request.query.get("bot_type") != "3":
            return _json({"ret": -1, "errmsg": "bot_type"})
        code = QrCode(secrets.token_hex(16), self._world.clock.now_s() + rules.QR_LIFE_S)
        self._codes[code.code] = code
        return _json({"ret": 0, "qrcode": code.code, "qrcode_img_content": f"{self._world.server.url}/qr/{code.code}"})

    async def _code_status(self, request: web.Request) -> web.Response:
        """Long poll: answers when the status is another one than the last answer's."""
        code = self._codes.get(request.query.get("qrcode", ""))
        if code is None:
            return _json({"ret": 0, "status": "expired"})

        given = request.query.get("verify_code", "")
        if code.status == "need_verifycode" and given:
            code.status, code.told = ("confirmed", "") if given == code.digits else (code.status, "")

        def look() -> str:
            if code.status != "confirmed" and self._world.clock.now_s() > code.expires_at_s:
                code.status = "expired"
            return code.status if code.status not in ("wait", code.told) else ""

        code.told = await self._poll(look) or code.status
        answer: dict[str, Any] = {"ret": 0, "status": code.told}
        if code.told == "scaned_but_redirect":
            answer["redirect_host"] = code.digits or f"127.0.0.1:{self._world.server.port}"
        if code.told == "confirmed":
            answer |= {"bot_token": self.token, "ilink_bot_id": self.bot_id, "baseurl": self._world.server.url}
            answer["ilink_user_id"] = "o9cq80owner@im.wechat"
        self._world.server.note("out", "get_qrcode_status", answer)
        return _json(answer)

    # --- calls with a token

    def _authorised(
        self, name: str, act: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            body = await request.json()
            self._world.server.note("in", name, body)
            fault = self._world.server.take_fault(name)
            if fault and not fault.name.startswith("commit"):
                if fault.name == "ret":
                    return _json({"ret": fault.detail["ret"], "errcode": fault.detail["ret"], "errmsg": "fault"})
                if fault.name == "slow":
                    await asyncio.sleep(self._world.server.scaled(fault.detail["delay_s"]))
                elif (broken := await answer_http_fault(fault, request)) is not None:
                    return broken
            answer = await self._admit(request, act, body)
            self._world.server.note("out", name, answer)
            if fault and (broken := await answer_http_fault(fault, request)) is not None:
                return broken
            return _json(answer)

        return handle

    async def _admit(
        self, request: web.Request, act: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]], body: dict[str, Any]
    ) -> dict[str, Any]:
        """Check the token, then act; a refusal becomes iLink's own kind of answer, under HTTP 200."""
        try:
            if request.headers.get("AuthorizationType") != "ilink_bot_token":
                raise RefusedError(rules.ILINK_STALE_TOKEN, "AuthorizationType", "ilink_header")
            if not self.token or request.headers.get("Authorization") != f"Bearer {self.token}":
                raise RefusedError(rules.ILINK_STALE_TOKEN, "session timeout", "ilink_token")
            return await act(body)
        except RefusedError as refused:
            self._world.board.notice(refused.rule, str(refused))
            return {"ret": refused.errcode, **refused.as_answer()}

    async def _get_updates(self, body: dict[str, Any]) -> dict[str, Any]:
        """Messages after the cursor; an empty cursor means after the newest one that ever came back."""
        start = self._read_cursor(body.get("get_updates_buf") or "")
        self.acknowledged = max(self.acknowledged, start)
        token = self.token
        await self._poll(lambda: len(self.messages) > start or self.token != token)
        if self.token != token:
            raise RefusedError(rules.ILINK_STALE_TOKEN, "session timeout", "ilink_token")
        return {
            "ret": 0,
            "msgs": self.messages[start:],
            "get_updates_buf": base64.b64encode(f"cursor {len(self.messages)}".encode()).decode(),
            "longpolling_timeout_ms": int(rules.LONG_POLL_S * 1000),
        }

    def _read_cursor(self, cursor: str) -> int:
        if not cursor:
            return self.acknowledged
        try:
            return int(base64.b64decode(cursor, validate=True).decode().removeprefix("cursor "))
        except ValueError as error:
            raise RefusedError(-1, "get_updates_buf", "ilink_cursor") from error

    async def _send_message(self, body: dict[str, Any]) -> dict[str, Any]:
        message = body.get("msg") or {}
        user, client_id = message.get("to_user_id", ""), message.get("client_id")
        person = self._people.get(user)
        if person is None or not client_id or message.get("message_type") != 2:
            raise RefusedError(rules.ILINK_REFUSED, "to_user_id, client_id and message_type", "ilink_shape")
        now_s = self._world.clock.now_s()
        if person.context_tokens.get(message.get("context_token", ""), now_s - 1) < now_s:
            raise RefusedError(rules.ILINK_REFUSED, "context_token", "ilink_context")
        if self._world.points.ilink_dedups and client_id in person.client_ids:
            return {"ret": 0, "message_id": self._new_message_id()}
        if person.unanswered >= rules.UNANSWERED_LIMIT:
            raise RefusedError(rules.ILINK_REFUSED, "too many messages without an answer", "ilink_unanswered")
        texts = [item["text_item"]["text"] for item in message.get("item_list") or () if item.get("type") == 1]
        if not texts:
            raise RefusedError(rules.ILINK_REFUSED, "item_list", "ilink_shape")
        person.unanswered += 1
        person.client_ids.add(client_id)
        self._world.board.show_direct(user, "\n".join(texts))
        return {"ret": 0, "message_id": self._new_message_id()}

    async def _get_config(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"ret": 0, "typing_ticket": base64.b64encode(str(body.get("ilink_user_id")).encode()).decode()}

    async def _nothing_to_do(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"ret": 0}

    # ---

    async def _poll(self, look: Callable[[], T]) -> T:
        """What `look` gives once it is true, or after the long poll's time."""
        end_s = self._world.clock.now_s() + rules.LONG_POLL_S
        while not (found := look()):
            left_s = end_s - self._world.clock.now_s()
            if left_s <= 0:
                break
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), self._world.server.scaled(left_s))
        return found

    def _new_message_id(self) -> int:
        self._next_message_id += 1
        return self._next_message_id


def _json(body: dict[str, Any]) -> web.Response:
    return web.Response(text=json.dumps(body, ensure_ascii=False), content_type="application/json")
