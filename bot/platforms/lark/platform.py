"""The Lark platform: its link, who the bot is, and its answers."""

from __future__ import annotations

import asyncio
import time

import structlog

from bot.platform import (
    LinkDeadError,
    Platform,
    Receive,
    Reply,
    SendAmbiguousError,
    SendLaterError,
    SendRefusedError,
)
from bot.platforms.lark.answers import SAME_UUID_IS_ONCE_FOR_S, Answers
from bot.platforms.lark.api import LarkApi
from bot.platforms.lark.errors import SECRET_WRONG, LarkRefusedError
from bot.platforms.lark.events import NAME
from bot.platforms.lark.link import LinkTimes, LongLink
from bot.platforms.lark.pace import Pace
from bot.platforms.lark.people import People
from bot.platforms.lark.receiving import Receiving
from bot.platforms.lark.webhook import Webhook
from bot.waiting import is_set_within
from config.platform_sections import LarkSettings
from contract.question import Question

RETRY_S = 1.0

log = structlog.get_logger(__name__)


class LarkPlatform(Platform):
    """One Lark or Feishu app. Times are in seconds; tests shorten them."""

    name = NAME
    thinks_at_once = True
    same_send_is_once_for_s = SAME_UUID_IS_ONCE_FOR_S

    def __init__(
        self,
        settings: LarkSettings,
        *,
        times: LinkTimes | None = None,
        ack_within_s: float = 2.5,
        rotate_after_s: float = 540.0,
        timeout_s: float = 10.0,
        settle_s: float = 3.0,
    ) -> None:
        self.account = settings.app_id
        self.settle_s = settle_s
        self._settings = settings
        self._times = times or LinkTimes(link_timeout_s=settings.link_timeout_s)
        self._ack_within_s = ack_within_s
        self._domain = settings.domain.rstrip("/")
        self._secret = settings.app_secret.get_secret_value()
        self._api = LarkApi(self._domain, self.account, self._secret, timeout_s=timeout_s)
        pace = Pace()
        self._people = People(self._api, pace)
        self._answers = Answers(self._api, pace, self.account, rotate_after_s=rotate_after_s)
        self._closed = asyncio.Event()
        self.webhook: Webhook | None = None

    async def listen(self, receive: Receive) -> None:
        """As `Platform.listen`."""
        bot_open_id = await self._learn_who_we_are()
        if self._closed.is_set():
            return
        receiving = Receiving(
            self._api, self._people, self.account, bot_open_id, receive, self._answers.recalled, self._ack_within_s
        )
        if self._settings.mode == "webhook":
            self.webhook = Webhook(self._settings, receiving.take)
            await self.webhook.run(self._closed)
        else:
            link = LongLink(self.account, self._secret, self._domain, receiving.take, self._times)
            await link.run(self._closed)

    async def send(self, reply: Reply) -> str:
        """As `Platform.send`."""
        return await self._answers.send(reply)

    async def edit(self, sent_id: str, reply: Reply) -> None:
        """As `Platform.edit`."""
        await self._answers.edit(sent_id, reply)

    async def find(self, question: Question) -> str | None:
        """As `Platform.find`."""
        return await self._answers.find(question)

    async def close(self) -> None:
        """As `Platform.close`."""
        self._closed.set()
        await self._api.close()

    async def _learn_who_we_are(self) -> str:
        """The bot's own open id; a mention is compared with it. Raises LinkDeadError."""
        end_s = time.monotonic() + self._times.link_timeout_s
        while not self._closed.is_set():
            try:
                bot = (await self._api.call("GET", "/open-apis/bot/v3/info"))["bot"]
                log.info("Lark knows the bot", name=bot.get("app_name"))
                return str(bot["open_id"])
            except SendRefusedError as error:
                wrong_secret = isinstance(error, LarkRefusedError) and error.code in SECRET_WRONG
                if wrong_secret or time.monotonic() > end_s:
                    raise LinkDeadError(str(error)) from error
                problem: Exception = error
            except (SendLaterError, SendAmbiguousError) as error:
                if time.monotonic() > end_s:
                    raise LinkDeadError(str(error)) from error
                problem = error
            log.warning("Lark does not say who the bot is; asked again", error=str(problem))
            await is_set_within(self._closed, RETRY_S)
        return ""
