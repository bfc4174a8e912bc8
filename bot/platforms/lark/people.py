"""What people are called: asked for once each, where the app may know it."""

from __future__ import annotations

import asyncio
import time

import structlog

from bot.platform import PlatformError
from bot.platforms.lark.api import LarkApi
from bot.platforms.lark.errors import LarkRefusedError
from bot.platforms.lark.pace import Pace
from bot.remembered import Remembered

WITHIN_S = 0.5
"""An event has to be acknowledged within 3 s. A question without a name is better than none."""
REMEMBERED_FOR_S = 86_400.0
REFUSED_FOR_S = 600.0
"""How long nobody's name is asked for after Lark refused it: the permission is optional."""

log = structlog.get_logger(__name__)


class People:
    """Names by open id. https://open.feishu.cn/document/server-docs/contact-v3/user/batch"""

    def __init__(self, api: LarkApi, pace: Pace) -> None:
        self._api = api
        self._pace = pace
        self._names: Remembered[str, tuple[str, float]] = Remembered()
        self._refused_until_s = 0.0

    async def name_of(self, open_id: str) -> str:
        """The person's name; empty where the app may not know it, or Lark does not say it soon enough."""
        now_s = time.monotonic()
        name, until_s = self._names.get(open_id, ("", 0.0))
        if now_s < until_s or now_s < self._refused_until_s:
            return name
        try:
            async with asyncio.timeout(WITHIN_S):
                name = await self._ask(open_id)
        except LarkRefusedError as error:
            log.info("people's names are not known", reason=str(error))
            self._refused_until_s = now_s + REFUSED_FOR_S
            return name
        except (PlatformError, TimeoutError) as error:
            log.warning("a person's name is not known now", reason=str(error) or "no answer in time")
            return name
        self._names[open_id] = (name, now_s + REMEMBERED_FOR_S)
        return name

    async def _ask(self, open_id: str) -> str:
        await self._pace.wait(("api", "users.batch"))
        query = {"user_ids": open_id, "user_id_type": "open_id"}
        data = (await self._api.call("GET", "/open-apis/contact/v3/users/batch", query=query)).get("data") or {}
        # Without the second permission the person comes without a name.
        return next((str(one.get("name") or "") for one in data.get("items") or []), "")
