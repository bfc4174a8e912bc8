"""HTTP mode: Slack calls us. Every request is checked against the signing secret before anything of it is believed."""

from __future__ import annotations

import asyncio

import structlog
from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.app.async_app import AsyncApp

from bot.link import link_of
from bot.platform import LinkDeadError

PATH = "/slack/events"
MAX_BODY_BYTES = 1_000_000

log = structlog.get_logger(__name__)


class Webhook:
    """Listens on `host` and `port` until `closed` is set; port 0 lets the system choose one."""

    def __init__(self, app: AsyncApp, host: str, port: int) -> None:
        self._app = app
        self._host = host
        self._port = port
        self.url = ""

    async def run(self, closed: asyncio.Event) -> None:
        """Serve. Raises LinkDeadError where the port cannot be had."""
        server = web.Application(client_max_size=MAX_BODY_BYTES)
        server.router.add_post(PATH, self._take)
        runner = web.AppRunner(server, access_log=None, shutdown_timeout=2.0)
        await runner.setup()
        try:
            try:
                await web.TCPSite(runner, self._host, self._port).start()
            except OSError as error:
                raise LinkDeadError(f"cannot listen on {self._host}:{self._port}: {error.strerror or error}") from error
            self.url = f"http://{self._host}:{runner.addresses[0][1]}{PATH}"
            log.info("listening for Slack", url=self.url)
            link_of("slack").listens()
            await closed.wait()
        finally:
            link_of("slack").down()
            await runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        """One request of Slack's. A body that is too large is refused by aiohttp with 413."""
        try:
            bolt_request = await to_bolt_request(request)
        except (ValueError, AttributeError):
            # No JSON, or JSON that is no object: bolt reads a body before it looks at its signature.
            return web.Response(status=400, text="not a request of Slack's")
        return await to_aiohttp_response(await self._app.async_dispatch(bolt_request))
