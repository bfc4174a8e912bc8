"""The address that WeCom calls in callback mode. It stands behind the operator's HTTPS proxy.

Rules of the vendor's pages 101039 and 101033: a GET verifies the address and wants the plain echo within a second; a
POST carries ``{"encrypt": …}`` and is answered by nothing, or by a sealed passive answer with the request's nonce.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from aiohttp import web

from bot.call_server import taking_calls
from bot.platforms.wecom import metrics
from bot.platforms.wecom.crypto import CallbackCipher, ForgedError
from contract.errors import FennelError

PATH = "/wecom/callback"
MAX_BODY_BYTES = 256 * 1024
ANSWER_WITHIN_S = 4.0
"""WeCom gives up on a callback after about five seconds and calls again."""
CLOCKS_APART_MAX_S = 300.0

log = structlog.get_logger(__name__)

Body = Mapping[str, Any]
TakeCall = Callable[[Body], Awaitable[Body | None]]
"""Takes a callback's body, and gives the passive answer, or None for none. Raises FennelError where it is not safe."""


class CallbackServer:
    """Listens at `host` and `port` (0 takes a free one, which `port` then names)."""

    def __init__(self, host: str, port: int, cipher: CallbackCipher, take: TakeCall) -> None:
        self.port = port
        self._host = host
        self._cipher = cipher
        self._take = take

    async def run(self, closed: asyncio.Event) -> None:
        """Serve until `closed` is set, and answer what is in hand. Raises LinkDeadError where the port is taken."""
        async with taking_calls(
            "wecom",
            self._host,
            self.port,
            [web.get(PATH, self._verify), web.post(PATH, self._called)],
            max_body_bytes=MAX_BODY_BYTES,
            port_setting="FENNEL_WECOM__CALLBACK_PORT",
        ) as self.port:
            await closed.wait()

    async def _verify(self, request: web.Request) -> web.Response:
        try:
            return web.Response(text=self._open(request, request.query.get("echostr", "")))
        except ForgedError as error:
            return _refused(403, str(error))

    async def _called(self, request: web.Request) -> web.Response:
        try:
            # All that is read before the signature is known: where the ciphertext is.
            encrypted = json.loads(await request.read())["encrypt"]
            if not isinstance(encrypted, str):
                return _refused(400, "no ciphertext")
            body = json.loads(self._open(request, encrypted))
        except ForgedError as error:
            return _refused(403, str(error))
        except web.HTTPRequestEntityTooLarge:
            return _refused(413, "too large")
        except (ValueError, KeyError, TypeError, RecursionError):
            return _refused(400, "no callback")
        if not isinstance(body, dict):
            return _refused(400, "no callback")
        return await self._answer(body, request.query["nonce"])

    async def _answer(self, body: Body, nonce: str) -> web.Response:
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                answer = await self._take(body)
        except (FennelError, TimeoutError) as error:
            log.warning("a callback is not safe yet: WeCom has to call again", error=str(error) or "Redis is slow")
            return web.Response(status=503)
        if answer is None:
            return web.Response()
        encrypted, timestamp = self._cipher.seal(json.dumps(answer, ensure_ascii=False)), int(time.time())
        signature = self._cipher.sign(str(timestamp), nonce, encrypted)
        sealed = {"encrypt": encrypted, "msgsignature": signature, "timestamp": timestamp, "nonce": nonce}
        return web.json_response(sealed)

    def _open(self, request: web.Request, encrypted: str) -> str:
        query = request.query
        wanted = ("msg_signature", "timestamp", "nonce")
        signature, timestamp, nonce = (query.get(name, "") for name in wanted)
        if not (signature and timestamp and nonce and encrypted):
            raise ForgedError("it is not signed")
        opened = self._cipher.open(signature, timestamp, nonce, encrypted)
        # The signature covers the time: what was heard on the way cannot be said again later.
        if not timestamp.isdecimal() or abs(time.time() - int(timestamp[:16])) > CLOCKS_APART_MAX_S:
            raise ForgedError("it is too old, or of a time to come")
        return opened


def _refused(status: int, why: str) -> web.Response:
    """Turn a caller away; why is for our log alone."""
    metrics.callbacks_refused.labels(str(status)).inc()
    log.warning("a call was refused", status=status, why=why)
    return web.Response(status=status)
