"""The page's HTTP server, in the bot's own loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import structlog
import uvicorn
from starlette.types import ASGIApp

from bot.link import link_of
from bot.platform import LinkDeadError
from bot.platforms.web.posts import PLATFORM

STOP_WITHIN_S = 3
BACKLOG = 128

log = structlog.get_logger(__name__)


class _Server(uvicorn.Server):
    """Leaves the signals to the bot."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


class PageServer:
    """Listens at `host` and `port` (0 takes a free one, which `port` then names)."""

    def __init__(self, host: str, port: int, app: ASGIApp) -> None:
        self.port = port
        self._host = host
        # Behind a proxy on this machine the address and the scheme are those that it tells.
        self._config = uvicorn.Config(
            app,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=True,
            forwarded_allow_ips="127.0.0.1",
            timeout_graceful_shutdown=STOP_WITHIN_S,
        )
        self._server: _Server | None = None
        self._has_ended = asyncio.Event()

    async def serve(self) -> None:
        """Serve until closed. Raises LinkDeadError where the port is taken."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            listening = socket.create_server((self._host.strip("[]"), self.port), family=family, backlog=BACKLOG)
        except OSError as error:
            raise LinkDeadError(
                f"the web page cannot listen at {self._host}:{self.port} ({error.strerror or error}): "
                f"set FENNEL_WEB__PORT to another port"
            ) from error
        with listening:
            self.port = listening.getsockname()[1]
            self._server = _Server(self._config)
            link_of(PLATFORM).listens()
            log.info("the web page is open", url=self.url)
            try:
                await self._server.serve(sockets=[listening])
            finally:
                self._has_ended.set()

    @property
    def url(self) -> str:
        """Where it is."""
        host = "127.0.0.1" if self._host in ("0.0.0.0", "::", "localhost") else self._host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"

    async def close(self) -> None:
        """Answer what is in hand, and no more."""
        link_of(PLATFORM).down()
        if self._server is not None:
            self._server.should_exit = True
            await self._has_ended.wait()
