"""Webhooks: a real server of ours on loopback, called with whatever is the input, signed and sealed as it should be."""

from __future__ import annotations

import asyncio
import io
import json
import tomllib
from abc import abstractmethod
from typing import Any

import aiohttp

from config.settings import DEFAULTS_FILE
from tests.fuzz.target import LoopTarget

REFUSED = (400, 401, 403, 404, 413)
READY_WITHIN_S = 10.0

Call = tuple[bytes, dict[str, str], dict[str, str]]
"""A body, headers, a query."""


class HttpTarget(LoopTarget):
    """An input is what the platform says. One that is JSON with `sent` and `headers` or `query` is sent just so."""

    def __init__(self) -> None:
        super().__init__()
        self.run(self._start())

    @abstractmethod
    async def serve(self) -> None:
        """Serve until cancelled."""

    @abstractmethod
    def url(self) -> str:
        """Where the server listens; empty as long as it does not."""

    @abstractmethod
    def sealed(self, data: bytes) -> Call:
        """The input as the platform would send it."""

    def read(self, data: bytes) -> bool:
        """Raises where the answer is neither success nor a refusal: a 500 is an exception that nobody thought of."""
        return self.run(self._read(data))

    def status_unsigned(self, body: bytes) -> int:
        """What a stranger's call with this body is answered with."""
        return self._runner.run(self._status(body))

    async def _status(self, body: bytes) -> int:
        async with self._session.post(self._url, data=io.BytesIO(body)) as response:
            return response.status

    async def _read(self, data: bytes) -> bool:
        body, headers, query = _as_said(data) or self.sealed(data)
        try:
            async with self._session.post(self._url, data=body, headers=headers, params=query) as response:
                await response.read()
        except (ValueError, aiohttp.ClientConnectionError):
            return False  # a header that cannot be sent, or a body that was not waited for
        assert response.status == 200 or response.status in REFUSED, f"the server answers {response.status}"
        return response.status == 200

    async def _start(self) -> bool:
        self._session = aiohttp.ClientSession()
        self._serving: asyncio.Task[None] = asyncio.create_task(self.serve())
        async with asyncio.timeout(READY_WITHIN_S):
            while not self.url():
                assert not self._serving.done(), "the server does not start"
                await asyncio.sleep(0.01)
        self._url = self.url()
        return True

    def close(self) -> None:
        """Stop the server."""
        self.run(self._close())
        super().close()

    async def _close(self) -> bool:
        self._serving.cancel()
        await asyncio.gather(self._serving, return_exceptions=True)
        await self._session.close()
        return True


def default_section(name: str, **changes: object) -> dict[str, Any]:
    """The defaults of one section of the settings, with these changes."""
    defaults: dict[str, Any] = tomllib.loads(DEFAULTS_FILE.read_text())[name]
    return defaults | changes


def _as_said(data: bytes) -> Call | None:
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or not isinstance(said.get("sent"), str):
        return None
    return said["sent"].encode("utf-8", "surrogatepass"), _texts(said.get("headers")), _texts(said.get("query"))


def _texts(pairs: object) -> dict[str, str]:
    if not isinstance(pairs, dict):
        return {}
    return {name: str(value).encode("utf-8", "replace").decode() for name, value in pairs.items() if name.isascii()}
