"""iLink, WeChat's interface for bots in direct messages: JSON over HTTP.

Source: the code of `@tencent-weixin/openclaw-weixin` 2.4.9; Tencent publishes no server documentation. An answer
carries `ret` (sometimes `errcode`), 0 for success, -14 for a login that is over, -2 for a message that is not taken.
Ids are uint64, which Python's integers hold.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import aiohttp
from yarl import URL

from bot.platform import PlatformError, SendAmbiguousError, SendLaterError, SendRefusedError
from bot.sending_session import sending_session

PROTOCOL_VERSION = (2, 4, 9)
APP_ID = "bot"
BOT_TYPE = "3"
OK, REFUSED, LOGIN_OVER = 0, -2, -14
CALL_TIMEOUT_S = 15.0
LONG_POLL_S = 35.0
LONG_POLL_MARGIN_S = 10.0
UNREACHABLE_AGAIN_S = 5.0
TENCENT = ".weixin.qq.com"

Body = Mapping[str, Any]


class LoginOverError(PlatformError):
    """WeChat has ended this login."""


class ILinkApi:
    """Calls one iLink server, with a login's token or, to log in, without. Opens its connections when first used."""

    def __init__(self, base_url: str, token: str = "") -> None:
        self._base_url = base_url.rstrip("/")
        self._token = token
        self._session: aiohttp.ClientSession | None = None

    async def post(self, name: str, body: Body, timeout_s: float = CALL_TIMEOUT_S) -> dict[str, Any]:
        """Make a call and return its answer, whatever its `ret`.

        Raises SendLaterError where it did not get there, SendAmbiguousError where nobody knows, SendRefusedError for
        a 4xx, LoginOverError.
        """
        base_info = {
            "channel_version": ".".join(map(str, PROTOCOL_VERSION)),
            "bot_agent": f"Fennel/{version('fennel')}",
        }
        headers = _headers() | {
            "Content-Type": "application/json",
            "AuthorizationType": "ilink_bot_token",
            # A number that is new with each call, in decimal.
            "X-WECHAT-UIN": base64.b64encode(str(secrets.randbits(32)).encode()).decode(),
        }
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        text = json.dumps({**body, "base_info": base_info}, ensure_ascii=False)
        return await self._call("POST", name, headers, timeout_s, data=text.encode())

    async def get(self, name: str, query: Mapping[str, str], timeout_s: float) -> dict[str, Any]:
        """The same for a call that only asks, and needs no login."""
        return await self._call("GET", name, _headers(), timeout_s, params=query)

    async def close(self) -> None:
        """Give the connections back."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _call(
        self, method: str, name: str, headers: Mapping[str, str], timeout_s: float, **rest: Any
    ) -> dict[str, Any]:
        if self._session is None:
            self._session = sending_session()
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        url = URL(f"{self._base_url}/ilink/bot/{name}")
        try:
            async with self._session.request(
                method, url, headers=headers, timeout=timeout, allow_redirects=False, **rest
            ) as response:
                if response.status == 429:
                    raise SendLaterError("WeChat does not take it now (HTTP 429)", UNREACHABLE_AGAIN_S)
                if 300 <= response.status < 500:
                    raise SendRefusedError(f"WeChat refused {name} (HTTP {response.status})")
                response.raise_for_status()
                answer = json.loads(await response.read())
        except aiohttp.ClientConnectorError as error:
            raise SendLaterError(f"WeChat cannot be reached: {error}", UNREACHABLE_AGAIN_S) from error
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise SendAmbiguousError(f"WeChat gave no answer to {name}: {error or 'too slow'}") from error
        if not isinstance(answer, dict):
            raise SendAmbiguousError(f"WeChat's answer to {name} is no object")
        if ret_of(answer) == LOGIN_OVER:
            raise LoginOverError("WeChat has ended this login")
        return answer


def ret_of(answer: Body) -> int:
    """What an answer says of its call: 0 for success. `errcode` counts where `ret` says nothing."""
    for name in ("ret", "errcode"):
        value = answer.get(name)
        if isinstance(value, int) and value != OK:
            return value
    return OK


def trusted(url: str, base_url: str) -> str:
    """The address that WeChat names instead of `base_url`, if it is Tencent's or the same. Raises PlatformError.

    A login's token is sent there, so nothing else may name it.
    """
    given, base = URL(url), URL(base_url)
    host = given.host or ""
    if given.origin() == base.origin() or (given.scheme == "https" and f".{host}".endswith(TENCENT)):
        return str(given.origin())
    raise PlatformError(f"WeChat named a server that is not Tencent's ({host}): not followed")


def _headers() -> dict[str, str]:
    major, minor, patch = PROTOCOL_VERSION
    return {"iLink-App-Id": APP_ID, "iLink-App-ClientVersion": str(major << 16 | minor << 8 | patch)}
