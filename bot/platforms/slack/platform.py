"""Slack as a platform: the link that brings events in, and the sender that shows replies."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from redis.exceptions import RedisError
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.response import BoltResponse

from bot.chat_event import ChatEvent
from bot.platform import (
    LinkDeadError,
    Platform,
    PlatformError,
    Receive,
    Reply,
    SendAmbiguousError,
    SendLaterError,
)
from bot.platforms.slack.calls import SlackCalls, SlackRefusedError
from bot.platforms.slack.events import NAME, EventError, chat_event
from bot.platforms.slack.identity import Identity, Whoami
from bot.platforms.slack.link import SocketLink
from bot.platforms.slack.missed import Missed
from bot.platforms.slack.pacing import Pacer
from bot.platforms.slack.people import People
from bot.platforms.slack.sdk_log import sdk_logger
from bot.platforms.slack.sender import ROTATE_AFTER_S, Sender
from bot.platforms.slack.thinking import Thinking
from bot.platforms.slack.webhook import Webhook
from bot.waiting import is_set_within
from config.platform_sections import SlackSettings
from config.settings import Settings
from contract.errors import FennelError
from contract.question import Question

ASK_AGAIN_S = 1.0

Take = Callable[[ChatEvent], Awaitable[None]]

log = structlog.get_logger(__name__)


def create(settings: Settings) -> SlackPlatform:
    """Build the platform. Raises PlatformError where the mode's own secret is missing."""
    return SlackPlatform(settings.slack)


class SlackPlatform(Platform):
    """One Slack app in one workspace.

    Times are the true ones unless a test shrinks them: `minute_s` is how long a minute of Slack's rates lasts,
    `rotate_after_s` how long a stream may live, `timeout_s` how long one call may take.
    """

    name = NAME
    thinks_at_once = True

    def __init__(
        self,
        settings: SlackSettings,
        *,
        minute_s: float = 60.0,
        rotate_after_s: float = ROTATE_AFTER_S,
        ping_interval_s: float = 5.0,
        timeout_s: float = 10.0,
        settle_s: float = 3.0,
    ) -> None:
        needs = "app_token" if settings.mode == "socket" else "signing_secret"
        if not getattr(settings, needs).get_secret_value():
            wanted = f"FENNEL_SLACK__{needs}".upper()
            raise PlatformError(f"slack.mode is {settings.mode}, and that needs {wanted}")
        token = settings.bot_token.get_secret_value()
        # A token is one app in one workspace; this is known before Slack is asked.
        self.account = hashlib.sha256(token.encode()).hexdigest()[:12]
        self.settle_s = settle_s
        self._settings = settings
        self._token = token
        self._ping_interval_s = ping_interval_s
        self._closed = asyncio.Event()
        self._calls = SlackCalls(token, settings.api_url, Pacer(minute_s), timeout_s=timeout_s)
        self._whoami = Whoami(self._calls)
        self._thinking = Thinking(self._calls, again_after_s=1.5 * minute_s)
        self._sender = Sender(self._calls, self._whoami, rotate_after_s=rotate_after_s, settle_s=settle_s)
        self._people = People(self._calls)
        self.webhook: Webhook | None = None

    async def listen(self, receive: Receive) -> None:
        """Serve the link and, whenever it has come up, read back what was missed."""
        take: Take = receive
        me = await self._identify()
        if me is None:
            return
        app = self._app(me, take)
        came_up = asyncio.Event()
        reading_back = asyncio.create_task(self._read_back(me, take, came_up))
        try:
            if self._settings.mode == "http":
                self.webhook = Webhook(
                    app,
                    self._settings.signing_secret.get_secret_value(),
                    self._settings.http_host,
                    self._settings.http_port,
                )
                came_up.set()
                await self.webhook.run(self._closed)
            else:
                link = SocketLink(
                    app,
                    self._settings.app_token.get_secret_value(),
                    link_timeout_s=self._settings.link_timeout_s,
                    on_up=came_up.set,
                    ping_interval_s=self._ping_interval_s,
                )
                await link.run(self._closed)
        finally:
            reading_back.cancel()
            await asyncio.gather(reading_back, return_exceptions=True)

    async def send(self, reply: Reply) -> str:
        """Show a new reply."""
        return await self._sender.send(reply)

    async def edit(self, sent_id: str, reply: Reply) -> None:
        """Change a reply that is shown."""
        await self._sender.edit(sent_id, reply)

    async def show_status(self, reply: Reply) -> float | None:
        """Show a notice as the thread's status line, or as eyes on the question."""
        return await self._thinking.show(reply)

    async def find(self, question: Question) -> str | None:
        """Look for our reply in the question's thread."""
        return await self._sender.find(question)

    async def close(self) -> None:
        """Close the link and the connections."""
        self._closed.set()
        await self._people.close()
        await self._calls.close()

    def _app(self, me: Identity, take: Take) -> AsyncApp:
        """The bolt app: whatever comes is taken by one function, and acknowledged when that returned."""

        async def authorize(**_: Any) -> AuthorizeResult:
            return AuthorizeResult(
                enterprise_id=None,
                team_id=me.team_id,
                bot_user_id=me.user_id,
                bot_id=me.bot_id,
                bot_token=self._token,
            )

        async def take_all(body: dict[str, Any]) -> BoltResponse:
            try:
                event = chat_event(body, me)
            except EventError as error:
                # It does not get better by being delivered again.
                log.error("an event cannot be read", error=str(error), kind=str(body.get("type"))[:40])
                event = None
            if event is not None:
                await take(self._people.named(event))
            # No kind of event goes unacknowledged: Slack would deliver it three times more.
            return BoltResponse(status=200, body="")

        app = AsyncApp(
            # With a token of its own it would warn that it does not use it.
            client=self._calls.client(with_token=False),
            signing_secret=self._settings.signing_secret.get_secret_value() or None,
            process_before_response=True,
            authorize=authorize,
            logger=sdk_logger(),
        )
        app.middleware(take_all)
        app.error(_refuse)
        return app

    async def _identify(self) -> Identity | None:
        """Who we are; None once closed. Raises LinkDeadError where Slack does not say so in time."""
        end_s = time.monotonic() + 2 * self._settings.link_timeout_s
        while not self._closed.is_set():
            try:
                return await self._whoami.identity()
            except SlackRefusedError as error:
                raise LinkDeadError(
                    f"Slack refuses the bot token: {error.error}; see FENNEL_SLACK__BOT_TOKEN"
                ) from error
            except (SendLaterError, SendAmbiguousError) as error:
                if time.monotonic() > end_s:
                    raise LinkDeadError(f"Slack cannot be reached: {error}") from error
                log.warning("Slack does not say who we are yet", error=str(error))
            await is_set_within(self._closed, min(ASK_AGAIN_S, self._settings.link_timeout_s / 10))
        return None

    async def _read_back(self, me: Identity, take: Take, came_up: asyncio.Event) -> None:
        """Hand over what may have been missed, each time that the link has come up."""
        missed = Missed(self._calls, self._settings.read_back_s)
        while self._settings.read_back_s:
            await came_up.wait()
            came_up.clear()
            try:
                async for message in missed.messages(me):
                    await take(self._people.named(message))
            except FennelError as error:
                log.warning("missed messages could not be taken in", error=str(error))


async def _refuse(error: Exception) -> BoltResponse:
    """Whatever Slack is told but 200 has it deliver again: 500 where we could not, 400 where bolt itself fell over."""
    if isinstance(error, (FennelError, RedisError)):
        log.warning("an event is not acknowledged", error=str(error))
        return BoltResponse(status=500, body="")
    log.error("a payload cannot be read", error=f"{type(error).__name__}: {error}")
    return BoltResponse(status=400, body="")
