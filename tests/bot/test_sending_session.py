"""Sessions whose requests arrive soon or never."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer

from bot.sending_session import sending_session

GIVE_UP_MS = 600
LONG = aiohttp.ClientTimeout(total=60)


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port whose queue is full: a connection to it is neither made nor refused."""
    with contextlib.ExitStack() as held, socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        while True:
            one = held.enter_context(socket.socket())
            one.settimeout(0.3)
            try:
                one.connect(server.getsockname())
            except TimeoutError:
                break
        yield server.getsockname()[1]


@pytest.fixture
async def server() -> AsyncIterator[BaseTestServer]:
    """Begins an answer and ends it when it is told to."""

    async def begin(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.Event().wait()
        return response

    app = web.Application()
    app.router.add_put("/", begin)
    async with TestServer(app, shutdown_timeout=0.1) as started:
        yield started


async def test_a_call_that_waits_for_its_connection_is_given_up_before_the_account_changes_hands(
    deaf_port: int,
) -> None:
    """However long the call itself may take: else it would be sent when the connection is there at last."""
    async with sending_session(LONG, GIVE_UP_MS) as session:
        with pytest.raises(aiohttp.ConnectionTimeoutError):
            await session.put(f"http://127.0.0.1:{deaf_port}/", data=b"growing")


async def test_the_kernel_gives_up_what_nobody_confirms(server: BaseTestServer) -> None:
    """In what is left of the time after the connection was made; the next call on it has all of it again."""
    async with sending_session(LONG, GIVE_UP_MS) as session, session.put(server.make_url("/"), data=b"x") as response:
        assert response.connection is not None
        assert response.connection.transport is not None
        used = response.connection.transport.get_extra_info("socket")
        assert 0 < used.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) <= GIVE_UP_MS
