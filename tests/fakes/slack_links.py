"""Links to the fake Slack: of Slack's own SDK, and bare."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import aiohttp
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler as AiohttpHandler
from slack_bolt.adapter.socket_mode.websockets import AsyncSocketModeHandler as WebsocketsHandler

from tests.fakes.slack import FakeSlack
from tests.fakes.slack_clients import Recorder, web_client

Handler = AiohttpHandler | WebsocketsHandler
HANDLERS = {"aiohttp": AiohttpHandler, "websockets": WebsocketsHandler}


@contextlib.asynccontextmanager
async def connected(fake: FakeSlack, recorder: Recorder, backend: str = "aiohttp") -> AsyncIterator[Handler]:
    """A bolt app with a link to the fake; its monitor looks every second."""
    handler = HANDLERS[backend](recorder.app, fake.urls()["FENNEL_SLACK__APP_TOKEN"], ping_interval=1)
    await handler.connect_async()
    try:
        await fake.eventually(lambda: fake.connected() == 1)
        yield handler
    finally:
        await handler.close_async()


@contextlib.asynccontextmanager
async def bare(fake: FakeSlack, count: int = 1) -> AsyncIterator[list[aiohttp.ClientWebSocketResponse]]:
    """Connections that acknowledge nothing by themselves, after their hello."""
    async with aiohttp.ClientSession() as session:
        sockets = [await session.ws_connect(await new_url(fake)) for _ in range(count)]
        for socket in sockets:
            assert (await socket.receive_json())["type"] == "hello"
        yield sockets


async def new_url(fake: FakeSlack) -> str:
    """A URL for one handshake, from apps.connections.open."""
    answer = await web_client(fake).apps_connections_open(app_token=fake.urls()["FENNEL_SLACK__APP_TOKEN"])
    return str(answer["url"])
