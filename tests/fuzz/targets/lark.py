"""Lark: events as both modes bring them, and webhook mode's bytes, sealed with the right key or any other."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import Sequence
from typing import Any

from Crypto.Cipher import AES
from Crypto.Util.Padding import pad

from bot.platforms.lark.events import EventError, parse, quoted_text, translate
from bot.platforms.lark.webhook import Webhook
from config.platform_sections import LarkSettings
from tests.fuzz.target import Reading, Target
from tests.fuzz.targets.http import Call, HttpTarget, default_section

US = "ou_bot"
KEY, TOKEN = "an-encrypt-key", "a-verification-token"
HEADER = {
    "event_id": "5e3702a84e847582be8db7fb73283c02",
    "event_type": "im.message.receive_v1",
    "create_time": "1608725989000",
    "token": TOKEN,
    "app_id": "cli_9f5343c580712544",
    "tenant_key": "2ca1d211f64f6438",
}
MENTION = {"key": "@_user_1", "id": {"open_id": US, "user_id": "u1"}, "name": "Fennel", "tenant_key": "t"}
POST = {
    "title": "Leave",
    "content": [
        [
            {"tag": "at", "user_id": "@_user_1"},
            {"tag": "text", "text": "see "},
            {"tag": "a", "text": "it", "href": "x"},
        ],
        [{"tag": "code_block", "language": "GO", "text": "a := 1"}, {"tag": "img", "image_key": "i"}],
    ],
}


def _message(content: dict[str, Any], kind: str, **more: str) -> dict[str, Any]:
    return {
        "message_id": "om_1",
        "create_time": "1609073151345",
        "chat_id": "oc_1",
        "chat_type": "group",
        "message_type": kind,
        "content": json.dumps(content),
        "mentions": [MENTION],
        **more,
    }


def events() -> list[bytes]:
    """Events as Lark delivers them."""
    sender = {"sender_id": {"open_id": "ou_ada"}, "sender_type": "user", "tenant_key": "t"}
    text = _message({"text": "@_user_1 how many @_all?"}, "text", root_id="om_0", parent_id="om_0")
    post = _message(POST, "post", chat_type="p2p", thread_id="omt_1")
    recalled = {"message_id": "om_1", "chat_id": "oc_1", "recall_time": "1609073151345"}
    action = {
        "operator": {"open_id": "ou_ada"},
        "action": {"value": {"verdict": "good", "question": "q-1"}, "tag": "button"},
    }
    bodies = [
        ("im.message.receive_v1", {"sender": sender, "message": text}),
        ("im.message.receive_v1", {"sender": sender, "message": post}),
        ("im.message.recalled_v1", recalled),
        ("card.action.trigger", action),
    ]
    return [
        json.dumps({"schema": "2.0", "header": {**HEADER, "event_type": kind}, "event": body}).encode()
        for kind, body in bodies
    ]


class Events(Target):
    """Events, and messages as the API gives them back."""

    def seeds(self) -> Sequence[bytes]:
        """One of each kind."""
        item = {"msg_type": "post", "body": {"content": json.dumps({"en_us": POST})}, "sender": {"id": "ou_1"}}
        return [*events(), json.dumps({**item, "mentions": [{"key": "@_user_1", "id": US, "name": "F"}]}).encode()]

    def read(self, data: bytes) -> bool:
        """Raises anything but EventError."""
        with Reading(EventError) as reading:
            translate(parse(data), US)
        with Reading(EventError) as quoting:
            quoted_text(_object(data), "cli_1", US)
        return reading.took or quoting.took


class Sealed(HttpTarget):
    """Webhook mode, from the bytes on."""

    def __init__(self) -> None:
        secrets = {"encrypt_key": KEY, "verification_token": TOKEN}
        settings = default_section("lark", mode="webhook", webhook_port=0, app_id="cli_1", app_secret="s", **secrets)
        self._webhook = Webhook(LarkSettings.model_validate(settings), _take)
        super().__init__()

    def seeds(self) -> Sequence[bytes]:
        """Events, the console's check, and calls that say themselves what is sent."""
        check = json.dumps({"type": "url_verification", "challenge": "c", "token": TOKEN}).encode()
        body, headers, _query = self.sealed(check)
        forged = {"sent": body.decode(), "headers": {**headers, "X-Lark-Signature": "00"}}
        unsigned = {"sent": body.decode(), "headers": {}}
        return [*events(), check, json.dumps(forged).encode(), json.dumps(unsigned).encode()]

    async def serve(self) -> None:
        """Serve until cancelled."""
        await self._webhook.run(asyncio.Event())

    def url(self) -> str:
        """Where the server listens."""
        return f"http://127.0.0.1:{self._webhook.port}/lark/events" if self._webhook.port else ""

    def sealed(self, data: bytes) -> Call:
        """Encrypted and signed with the right key, now."""
        key, start = hashlib.sha256(KEY.encode()).digest(), b"0123456789abcdef"
        hidden = start + AES.new(key, AES.MODE_CBC, start).encrypt(pad(data, 16))
        body = json.dumps({"encrypt": base64.b64encode(hidden).decode()}).encode()
        at, nonce = str(int(time.time())), "n"
        proof = hashlib.sha256(at.encode() + nonce.encode() + KEY.encode() + body).hexdigest()
        names = ("X-Lark-Request-Timestamp", "X-Lark-Request-Nonce", "X-Lark-Signature")
        return body, dict(zip(names, (at, nonce, proof), strict=True)), {}


async def _take(raw: bytes | str) -> dict[str, Any] | None:
    """As the platform does, whose other half asks Lark's API."""
    with Reading(EventError):
        translate(parse(raw), US)
    return None


def _object(data: bytes) -> dict[str, Any]:
    try:
        item = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise EventError("not JSON") from error
    if not isinstance(item, dict):
        raise EventError("no object")
    return item
