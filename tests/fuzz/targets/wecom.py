"""WeCom: callbacks in both modes' one form, and callback mode's bytes, sealed with the right key or any other.

The AI bot's callbacks are JSON inside and outside the encryption; there is no XML in either mode.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Sequence
from typing import Any

from bot.chat_event import ChatEvent
from bot.platforms.wecom.callback import CallbackSettings, WeComCallback
from bot.platforms.wecom.crypto import CallbackCipher
from bot.platforms.wecom.events import EventError, chat_of, event_type, to_feedback, to_message
from tests.fuzz.target import ObjectTarget, Reading
from tests.fuzz.targets.http import Call, HttpTarget
from tests.valkey import ValkeyServer

TOKEN = "a-token"
AES_KEY = base64.b64encode(b"k" * 32).decode().rstrip("=")
TEXT: dict[str, Any] = {
    "msgid": "MSGID",
    "aibotid": "AIBOTID",
    "chatid": "CHATID",
    "chattype": "group",
    "from": {"userid": "USERID"},
    "msgtype": "text",
    "text": {"content": "@RobotA hello robot"},
    "quote": {"msgtype": "text", "text": {"content": "hello"}},
    "create_time": 1700000000,
    "response_url": "https://qyapi.weixin.qq.com/cgi-bin/aibot/response?response_code=CODE",
}


def bodies() -> list[bytes]:
    """Callbacks as WeCom makes them."""
    items = [{"msgtype": "text", "text": {"content": "a"}}, {"msgtype": "image", "image": {"url": "u"}}]
    feedback = {"eventtype": "feedback_event", "feedback_event": {"id": "q-1", "type": 2, "content": "wrong"}}
    kinds: list[dict[str, Any]] = [
        TEXT,
        {**TEXT, "chattype": "single", "msgtype": "mixed", "mixed": {"msg_item": items}},
        {**TEXT, "msgtype": "voice", "voice": {"content": "hello"}},
        {**TEXT, "msgtype": "image", "image": {"url": "u"}},
        {**TEXT, "msgtype": "event", "event": feedback},
        {**TEXT, "msgtype": "event", "event": {"eventtype": "enter_chat"}},
        {**TEXT, "msgtype": "stream", "stream": {"id": "q-1"}},
    ]
    return [json.dumps(body).encode() for body in kinds]


class Events(ObjectTarget):
    """The body of a callback, or of a frame of the long connection."""

    def seeds(self) -> Sequence[bytes]:
        """One of each kind."""
        return bodies()

    def take(self, body: dict[str, Any]) -> bool:
        """Raises anything but EventError."""
        with Reading(EventError) as reading:
            event_type(body)
            chat_of(body)
            to_feedback(body)
            to_message(body, "fennel", {}, time.time())
        return reading.took


class Callback(HttpTarget):
    """Callback mode, from the bytes on, with a real Redis behind it."""

    def __init__(self) -> None:
        self._server = ValkeyServer()
        self._server.start()
        self._cipher = CallbackCipher(TOKEN, AES_KEY)
        settings = CallbackSettings("127.0.0.1", 0, TOKEN, AES_KEY, "https://qyapi.weixin.qq.com")
        self._platform = WeComCallback(settings, "AIBOTID", self._server.address, "fennel")
        super().__init__()

    def seeds(self) -> Sequence[bytes]:
        """Callbacks, and calls that say themselves what is sent."""
        body, headers, query = self.sealed(bodies()[0])
        forged = {"sent": body.decode(), "headers": headers, "query": {**query, "msg_signature": "00"}}
        return [*bodies(), json.dumps(forged).encode(), json.dumps({"sent": body.decode(), "query": {}}).encode()]

    async def serve(self) -> None:
        """Serve until cancelled."""
        try:
            await self._platform.listen(_receive)
        finally:
            await self._platform.close()

    def url(self) -> str:
        """Where the server listens."""
        port = self._platform.server.port
        return f"http://127.0.0.1:{port}/wecom/callback" if port else ""

    def sealed(self, data: bytes) -> Call:
        """Encrypted and signed with the right key, now."""
        encrypted = self._cipher.seal(data.decode("utf-8", "replace"))
        at, nonce = str(int(time.time())), "n"
        query = {"msg_signature": self._cipher.sign(at, nonce, encrypted), "timestamp": at, "nonce": nonce}
        return json.dumps({"encrypt": encrypted}).encode(), {}, query

    def close(self) -> None:
        """Stop the servers."""
        super().close()
        self._server.remove()


async def _receive(event: ChatEvent) -> None:
    """Take it in."""
