"""HTTP sessions whose requests arrive soon or never: what a cut-off host has half sent must not come through later.

The kernel goes on sending what nobody confirms for a quarter of an hour, long after the process has given the call up.
A growing text that arrives when the cable is back would stand in the place of the answer that another host's bot has
shown meanwhile.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import aiohttp

from bot.lock import LEASE_S, MARGIN

GIVE_UP_MS = round(1000 * LEASE_S * MARGIN)
"""Before an account changes hands: a call is begun only with so much of the lease left (`AccountLock.check`)."""


def sending_session(
    timeout: aiohttp.ClientTimeout | None = None, give_up_ms: int = GIVE_UP_MS
) -> aiohttp.ClientSession:
    """A session for calls that show something; has to be made inside the event loop."""
    connector = aiohttp.TCPConnector(socket_factory=_factory(give_up_ms))
    return aiohttp.ClientSession(connector=connector, timeout=timeout or aiohttp.ClientTimeout())


def _factory(give_up_ms: int) -> Callable[[tuple[Any, ...]], socket.socket]:
    def make(address: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol = address[:3]
        one = socket.socket(family, kind, protocol)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, give_up_ms)
        return one

    return make
