"""Lark's REST API over aiohttp: the access token, and what an answer means for whoever sends.

Our own small client and not the SDK's: that one takes seconds and 130 MB to import, fetches tokens with blocking calls
in the event loop and opens a connection for every call.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

import aiohttp

from bot.platform import SendAmbiguousError, SendLaterError
from bot.platforms.lark.errors import TOKEN_INVALID, TOO_OFTEN, LarkRefusedError
from bot.sending_session import sending_session

Json = dict[str, Any]
TOKEN_RENEWED_BEFORE_S = 300.0
"""Lark gives the same token until 30 minutes before its end, and both are good then."""
AWAY_S = 1.0


class LarkApi:
    """Calls the API with the app's own token. Never tries again by itself, but once with a new token.

    Raises LarkRefusedError where nothing was done, SendLaterError where nothing was done and waiting helps,
    SendAmbiguousError where nobody knows.
    """

    def __init__(self, domain: str, app_id: str, app_secret: str, *, timeout_s: float = 10.0) -> None:
        self._domain = domain
        self._app = {"app_id": app_id, "app_secret": app_secret}
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None
        self._token, self._token_end_s = "", 0.0
        self._renewing = asyncio.Lock()

    async def call(
        self, method: str, path: str, body: Json | None = None, query: Mapping[str, str] | None = None
    ) -> Json:
        """Call ``/open-apis/…`` and give the answer, all of it."""
        token = await self._valid_token()
        try:
            return await self._request(method, path, body, query, token)
        except LarkRefusedError as error:
            if error.code not in TOKEN_INVALID:
                raise
        if token == self._token:
            self._token_end_s = 0.0
        return await self._request(method, path, body, query, await self._valid_token())

    async def link_address(self) -> str:
        """Where the long connection would be opened; the address is good for one opening."""
        secret = {"AppID": self._app["app_id"], "AppSecret": self._app["app_secret"]}
        answer = await self._request("POST", "/callback/ws/endpoint", secret, None, "")
        return str((answer.get("data") or {}).get("URL", ""))

    async def close(self) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()

    async def _valid_token(self) -> str:
        async with self._renewing:
            if time.monotonic() >= self._token_end_s:
                path = "/open-apis/auth/v3/tenant_access_token/internal"
                try:
                    answer = await self._request("POST", path, self._app, None, "")
                except SendAmbiguousError as error:
                    # Nothing but a token was asked for.
                    raise SendLaterError(str(error), AWAY_S) from error
                self._token = str(answer.get("tenant_access_token", ""))
                life_s = float(answer.get("expire", 0))
                self._token_end_s = time.monotonic() + max(life_s - TOKEN_RENEWED_BEFORE_S, life_s / 2)
            return self._token

    async def _request(
        self, method: str, path: str, body: Json | None, query: Mapping[str, str] | None, token: str
    ) -> Json:
        if self._session is None:
            self._session = sending_session(self._timeout)
        # In bytes of UTF-8 and not in escapes: a Chinese text would count twice as long.
        data = None if body is None else json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        headers = {"Content-Type": "application/json; charset=utf-8"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        what = f"{method} {path}"
        try:
            async with self._session.request(
                method, self._domain + path, data=data, params=query, headers=headers
            ) as response:
                raw = await response.read()
                return _understood(what, response.status, response.headers, raw)
        except aiohttp.ClientConnectorError as error:
            raise SendLaterError(f"Lark cannot be reached: {error}", AWAY_S) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise SendAmbiguousError(f"the connection broke in {what}: {error or 'no answer in time'}") from error


def _understood(what: str, status: int, headers: Mapping[str, str], raw: bytes) -> Json:
    """The answer's body where it is a success; else the error that it stands for."""
    try:
        answer = json.loads(raw)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or not isinstance(answer.get("code"), int):
        if 400 <= status < 500 and status != 429:
            raise LarkRefusedError(what, 0, f"HTTP status {status}")
        # A gateway's own page: what stands behind it may have done it.
        raise SendAmbiguousError(f"{what} was answered with HTTP status {status} and no code")
    code, message = answer["code"], str(answer.get("msg", ""))
    if code == 0:
        return answer
    if status == 429 or code in TOO_OFTEN:
        raise SendLaterError(f"Lark asks to slow down in {what} (code {code})", _wait_s(headers))
    if status >= 500:
        raise SendAmbiguousError(f"{what} was answered with HTTP status {status} (code {code})")
    raise LarkRefusedError(what, code, message)


def _wait_s(headers: Mapping[str, str]) -> float:
    """How long to wait, in seconds, as ``x-ogw-ratelimit-reset`` says."""
    try:
        return min(max(float(headers.get("x-ogw-ratelimit-reset", "1")), 0.2), 60.0)
    except ValueError:
        return 1.0
