"""Webhook mode: Lark posts each event to an HTTP address.

A request is believed when its signature is right over the raw bytes and its time is within five minutes of ours; then
it is decrypted, and its token is compared. The SDK's own handler takes requests of any age.
https://open.feishu.cn/document/server-docs/event-subscription-guide/event-subscription-configure-/encrypt-key-encryption-configuration-case
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiohttp import web
from Crypto.Cipher import AES

from bot.call_server import taking_calls
from bot.platform import PlatformError
from bot.platforms.lark import metrics
from config.platform_sections import LarkSettings

Take = Callable[[bytes | str], Awaitable[dict[str, Any] | None]]
BODY_BYTES_MAX = 2**20
"""The longest text is 150 KB, and encryption adds a third."""
CLOCKS_APART_MAX_S = 300.0

log = structlog.get_logger(__name__)


class ForgedError(PlatformError):
    """A request that is not Lark's; `status` is what it is answered with."""

    def __init__(self, reason: str, status: int = 401) -> None:
        super().__init__(reason)
        self.status = status


class Seal:
    """What a request has to carry to be believed: made from the encrypt key and the verification token."""

    def __init__(self, encrypt_key: str, token: str) -> None:
        if not encrypt_key or not token:
            raise PlatformError(
                "Lark's webhook mode needs FENNEL_LARK__VERIFICATION_TOKEN and FENNEL_LARK__ENCRYPT_KEY: without them "
                "anybody could write in other people's names"
            )
        self._encrypt_key = encrypt_key.encode()
        self._token = token.encode()

    def check_signature(self, timestamp: str, nonce: str, signature: str, raw: bytes, now_s: float) -> None:
        """Raises ForgedError when the signature is wrong, or the request is too old or from the future."""
        proof = hashlib.sha256(_bytes(timestamp) + _bytes(nonce) + self._encrypt_key + raw).hexdigest()
        if not hmac.compare_digest(proof.encode(), _bytes(signature)):
            raise ForgedError("signature")
        # The signature covers the time, so that it is a number unless Lark itself says otherwise.
        if not timestamp.isdecimal() or abs(now_s - int(timestamp)) > CLOCKS_APART_MAX_S:
            raise ForgedError("time")

    def open(self, raw: bytes) -> dict[str, Any]:
        """The event inside; raises ForgedError where it is not encrypted with our key or has not our token."""
        try:
            sealed = json.loads(raw)["encrypt"]
            event = json.loads(self._decrypt(base64.b64decode(sealed, validate=True)))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ForgedError("encryption", 400) from error
        if not isinstance(event, dict):
            raise ForgedError("encryption", 400)
        header = event.get("header")
        token = header.get("token") if isinstance(header, dict) else event.get("token")
        if not hmac.compare_digest(self._token, _bytes(str(token))):
            raise ForgedError("token")
        return event

    def _decrypt(self, sealed: bytes) -> bytes:
        """AES-256-CBC, PKCS7, the IV in front; the key is the SHA-256 of the encrypt key."""
        if len(sealed) < 32 or len(sealed) % 16:
            raise ValueError("not whole blocks")
        key = hashlib.sha256(self._encrypt_key).digest()
        padded = AES.new(key, AES.MODE_CBC, sealed[:16]).decrypt(sealed[16:])
        padding = padded[-1]
        if not 1 <= padding <= 16 or padded[-padding:] != bytes([padding]) * padding:
            raise ValueError("wrong padding")
        return padded[:-padding]


def _bytes(text: str) -> bytes:
    """What a stranger sent, whatever it is."""
    return text.encode("utf-8", "replace")


class Webhook:
    """Listens for events. HTTP 200 only when one is safe; 500 when it is not, so that Lark delivers it again."""

    def __init__(self, settings: LarkSettings, take: Take) -> None:
        self._seal = Seal(settings.encrypt_key.get_secret_value(), settings.verification_token.get_secret_value())
        self._settings = settings
        self._take = take
        self.port = 0
        self.ready = asyncio.Event()

    async def run(self, closed: asyncio.Event) -> None:
        """Serve until `closed` is set; raises LinkDeadError where the port cannot be had."""
        async with taking_calls(
            "lark",
            self._settings.webhook_host,
            self._settings.webhook_port,
            [web.post(self._settings.webhook_path, self._serve)],
            max_body_bytes=BODY_BYTES_MAX,
            port_setting="FENNEL_LARK__WEBHOOK_PORT",
        ) as self.port:
            self.ready.set()
            await closed.wait()

    async def _serve(self, request: web.Request) -> web.Response:
        try:
            event = self._believed(await request.read(), request)
        except ForgedError as error:
            metrics.webhooks_refused.labels(str(error)).inc()
            log.warning("a webhook request is refused", reason=str(error), from_address=request.remote)
            return web.json_response({"msg": "refused"}, status=error.status)
        if event.get("type") == "url_verification":
            return web.json_response({"challenge": str(event.get("challenge", ""))})
        try:
            answer = await self._take(json.dumps(event))
        except Exception:
            return web.json_response({"msg": "not now"}, status=500)
        return web.json_response({"msg": "success"} if answer is None else answer)

    def _believed(self, raw: bytes, request: web.Request) -> dict[str, Any]:
        signature = request.headers.get("X-Lark-Signature")
        if signature is not None:
            timestamp = request.headers.get("X-Lark-Request-Timestamp", "")
            nonce = request.headers.get("X-Lark-Request-Nonce", "")
            self._seal.check_signature(timestamp, nonce, signature, raw, time.time())
        event = self._seal.open(raw)
        # The console's check of the address may come without a signature. It is encrypted, and answers nothing.
        if signature is None and event.get("type") != "url_verification":
            raise ForgedError("signature")
        return event
