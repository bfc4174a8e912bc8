"""The server for platforms that call us: HTTP in the bot's own loop, behind the operator's proxy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import structlog
from aiohttp import web

from bot.link import link_of
from bot.platform import LinkDeadError

SHUTDOWN_S = 3.0
LINGER_S = 1.0
"""How long the rest of a body that is too large is read and thrown away, so that its sender sees the refusal."""

log = structlog.get_logger(__name__)


@asynccontextmanager
async def taking_calls(
    platform: str, host: str, port: int, routes: Iterable[web.RouteDef], *, max_body_bytes: int, port_setting: str
) -> AsyncIterator[int]:
    """Take a platform's calls while the block runs; gives the port, which the system chooses where `port` is 0.

    Calls in hand are answered at the end. Raises LinkDeadError, with the setting to change, where the port is taken.
    """
    app = web.Application(client_max_size=max_body_bytes)
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S, lingering_time=LINGER_S)
    await runner.setup()
    link = link_of(platform)
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise LinkDeadError(
                f"the bot cannot listen at {host}:{port} for {platform} ({error.strerror or error}): "
                f"set {port_setting} to another port"
            ) from error
        taken_port: int = runner.addresses[0][1]
        link.listens()
        log.info("listening for calls", platform=platform, host=host, port=taken_port)
        yield taken_port
    finally:
        link.down()
        await runner.cleanup()
