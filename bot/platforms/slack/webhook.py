"""HTTP mode: Slack calls us. Every request is checked against the signing secret before anything of it is read.

The rule: HMAC-SHA256 over the raw body and its time, which may be five minutes off.
https://docs.slack.dev/authentication/verifying-requests-from-slack/
"""

from __future__ import annotations

import asyncio

import structlog
from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.signature import SignatureVerifier

from bot.call_server import taking_calls

PATH = "/slack/events"
MAX_BODY_BYTES = 1_000_000

log = structlog.get_logger(__name__)


class Webhook:
    """Listens on `host` and `port` until `closed` is set; port 0 lets the system choose one."""

    def __init__(self, app: AsyncApp, signing_secret: str, host: str, port: int) -> None:
        self._app = app
        self._verifier = SignatureVerifier(signing_secret)
        self._host = host
        self._port = port
        self.url = ""

    async def run(self, closed: asyncio.Event) -> None:
        """Serve. Raises LinkDeadError where the port cannot be had."""
        async with taking_calls(
            "slack",
            self._host,
            self._port,
            [web.post(PATH, self._take)],
            max_body_bytes=MAX_BODY_BYTES,
            port_setting="FENNEL_SLACK__HTTP_PORT",
        ) as port:
            self.url = f"http://{self._host}:{port}{PATH}"
            await closed.wait()

    async def _take(self, request: web.Request) -> web.Response:
        """One request of Slack's. A body that is too large is refused by aiohttp with 413."""
        # bolt looks at the signature too, but only when it has taken the body apart.
        if not self._is_signed(await request.read(), request):
            log.warning("a request is refused: not signed by Slack, or too old", from_address=request.remote)
            return web.Response(status=401)
        try:
            return await to_aiohttp_response(await self._app.async_dispatch(await to_bolt_request(request)))
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
            # No JSON, or JSON in which bolt finds other things than it takes for granted, or an unknown encoding.
            return web.Response(status=400, text="not a request of Slack's")

    def _is_signed(self, raw: bytes, request: web.Request) -> bool:
        try:
            return self._verifier.is_valid_request(raw, request.headers)
        except (ValueError, TypeError, OverflowError):
            # A time that is no number, a signature that is no ASCII, a body that is no UTF-8.
            return False
