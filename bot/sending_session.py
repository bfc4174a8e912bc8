"""HTTP sessions whose requests arrive soon or never: what a cut-off host has half sent must not come through later.

The kernel goes on sending what nobody confirms for a quarter of an hour, long after the process has given the call up,
and a connection that is being made when the cable is back carries the call that waited for it. A growing text that
arrives then would stand in the place of the answer that another host's bot has shown meanwhile.
"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import aiohttp

from bot.lock import LEASE_S, MARGIN

if TYPE_CHECKING:
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

GIVE_UP_MS = round(1000 * LEASE_S * MARGIN)
"""Before an account changes hands: a call is begun only with so much of the lease left (`AccountLock.check`).

More than three seconds, for which the kernel keeps what waits for a neighbour's address, whoever has given it up.
"""
CONNECT_SHARE = 0.6
"""How much of that time a call may wait for its connection; what is left is for its bytes to be confirmed."""


def sending_session(
    timeout: aiohttp.ClientTimeout | None = None, give_up_ms: int = GIVE_UP_MS
) -> aiohttp.ClientSession:
    """A session for calls that show something; has to be made inside the event loop."""
    return aiohttp.ClientSession(connector=_PromptConnector(give_up_ms), timeout=timeout or aiohttp.ClientTimeout())


class _PromptConnector(aiohttp.TCPConnector):
    """Gives a connection in time or not at all, and has the kernel give up in time what is written to it."""

    def __init__(self, give_up_ms: int) -> None:
        super().__init__()
        self._give_up_ms = give_up_ms

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 -- aiohttp names it
    ) -> Connection:
        """A connection for a request. Raises asyncio's TimeoutError where there is none in time."""
        begun_s = time.monotonic()
        limit_s = CONNECT_SHARE * self._give_up_ms / 1000
        within = aiohttp.ClientTimeout(
            total=timeout.total,
            connect=min(limit_s, timeout.connect or limit_s),
            sock_read=timeout.sock_read,
            sock_connect=timeout.sock_connect,
            ceil_threshold=timeout.ceil_threshold,
        )
        connection = await super().connect(req, traces, within)
        left_ms = max(1, self._give_up_ms - round(1000 * (time.monotonic() - begun_s)))
        if connection.transport is not None:
            used = connection.transport.get_extra_info("socket")
            used.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, left_ms)
        return connection
