"""A page that is open, and people in front of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
from argon2 import PasswordHasher

from bot.chat_event import ChatEvent
from bot.platforms.web.platform import WebPlatform
from config.settings import Settings

WITHIN_S = 10.0
GUEST, OPERATOR = "open sesame", "open everything"


def quick_hash(password: str) -> str:
    """A hash that is cheap to check, as a test needs it."""
    return PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(password)


class OpenPage:
    """A page that is served; `events` are what it handed over. `refuses` is raised in place of taking an event in."""

    def __init__(self, settings: Settings) -> None:
        self.platform = WebPlatform(settings)
        self.events: list[ChatEvent] = []
        self.refuses: Exception | None = None
        self._task = asyncio.create_task(self.platform.listen(self._receive))

    async def _receive(self, event: ChatEvent) -> None:
        if self.refuses:
            raise self.refuses
        self.events.append(event)

    async def ready(self) -> None:
        """Return when it is served."""
        async with asyncio.timeout(WITHIN_S):
            while not self.platform.server.port:  # it takes a free one
                assert not self._task.done(), self._task.exception()
                await asyncio.sleep(0.01)

    async def end(self) -> None:
        """Close it; `listen` returns."""
        await self.platform.close()
        async with asyncio.timeout(WITHIN_S):
            await self._task

    @contextlib.asynccontextmanager
    async def browser(self, **how: Any) -> AsyncIterator[httpx.AsyncClient]:
        """A browser that nobody has come in with."""
        async with httpx.AsyncClient(
            base_url=self.platform.server.url, timeout=WITHIN_S, trust_env=False, **how
        ) as client:
            yield client

    @contextlib.asynccontextmanager
    async def person(self, name: str = "Ann", password: str = "") -> AsyncIterator[httpx.AsyncClient]:
        """The browser of somebody who has come in."""
        async with self.browser() as client:
            answer = await client.post("/enter", data={"name": name, "password": password})
            assert answer.status_code == 303, answer.text
            yield client


@contextlib.asynccontextmanager
async def open_page(settings: Settings) -> AsyncIterator[OpenPage]:
    """The page of the settings, while the block runs."""
    page = OpenPage(settings)
    await page.ready()
    try:
        yield page
    finally:
        await page.end()


async def say(client: httpx.AsyncClient, text: str, key: str = "message-1", **more: str) -> httpx.Response:
    """Somebody says something in the room."""
    return await client.post("/room/say", json={"room": "general", "text": text, "key": key, "root": "", **more})
