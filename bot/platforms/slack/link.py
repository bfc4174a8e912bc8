"""The Socket Mode link: slack-bolt's own, under a watchdog."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

import aiohttp
import structlog
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.link import link_of
from bot.platform import LinkDeadError
from bot.platforms.slack import metrics
from bot.platforms.slack.sdk_log import sdk_logger
from bot.waiting import is_set_within

PING_INTERVAL_S = 5.0
"""A link that does not answer a ping for half of this is given up by the SDK."""
MAX_DISABLED = 5
DISABLED_WITHIN_S = 60.0
MAX_DISCONNECT_CHARACTERS = 500

log = structlog.get_logger(__name__)


class SocketLink:
    """Keeps the link up until `closed` is set. `on_up` is called each time that it comes up after having been down.

    The SDK tries the URL that it has for ever, also one that Slack does not take any more: after `link_timeout_s`
    it is made to ask for a new one; after twice as long the link is dead.
    """

    def __init__(
        self,
        app: AsyncApp,
        app_token: str,
        *,
        link_timeout_s: float,
        on_up: Callable[[], None],
        ping_interval_s: float = PING_INTERVAL_S,
    ) -> None:
        self._app = app
        self._app_token = app_token
        self._link_timeout_s = link_timeout_s
        self._on_up = on_up
        self._ping_interval_s = ping_interval_s
        self._disabled: deque[float] = deque(maxlen=MAX_DISABLED)

    async def run(self, closed: asyncio.Event) -> None:
        """Serve the link. Raises LinkDeadError."""
        handler = AsyncSocketModeHandler(
            self._app, self._app_token, logger=sdk_logger(), ping_interval=self._ping_interval_s
        )
        handler.client.on_message_listeners.append(self._note_disabled)
        connecting = asyncio.create_task(self._connect(handler.client))
        try:
            await self._watch(handler.client, connecting, closed)
        finally:
            link_of("slack").down()
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)
            await handler.client.close()  # type: ignore[no-untyped-call]

    async def _connect(self, client: SocketModeClient) -> None:
        """Connect for the first time. Raises LinkDeadError where Slack does not want our token."""
        try:
            client.wss_uri = await client.issue_new_wss_url()
        except SlackApiError as error:
            if isinstance(error.response, AsyncSlackResponse) and error.response.get("error"):
                raise LinkDeadError(
                    f"Slack refuses the app token: {error.response['error']}; FENNEL_SLACK__APP_TOKEN has to be an "
                    "app-level token with the scope connections:write"
                ) from error
        except (aiohttp.ClientError, TimeoutError, TypeError) as error:
            # The SDK raises TypeError where Slack's answer was no JSON.
            log.warning("Slack gives no URL yet", error=type(error).__name__)
        await client.connect()  # type: ignore[no-untyped-call]

    async def _watch(self, client: SocketModeClient, connecting: asyncio.Task[None], closed: asyncio.Event) -> None:
        is_up, down_since_s, renewed = False, time.monotonic(), False
        while not closed.is_set():
            if connecting.done():
                connecting.result()
            connected = await client.is_connected()
            if connected and not is_up:
                log.info("the link to Slack is up")
                self._on_up()
            elif is_up and not connected:
                log.warning("the link to Slack is down")
                down_since_s, renewed = time.monotonic(), False
            is_up = connected
            (link_of("slack").seen if is_up else link_of("slack").down)()
            down_s = 0.0 if is_up else time.monotonic() - down_since_s
            if down_s >= 2 * self._link_timeout_s:
                raise LinkDeadError(f"no link to Slack for {down_s:.0f} s")
            if down_s >= self._link_timeout_s and not renewed:
                renewed = True
                metrics.links_renewed.inc()
                log.warning("no link to Slack: asking for a new URL", down_s=round(down_s))
                client.wss_uri = None
            self._check_not_disabled()
            await is_set_within(closed, min(1.0, self._link_timeout_s / 10))

    async def _note_disabled(self, frame: aiohttp.WSMessage) -> None:
        # The SDK reconnects at once and for ever, whatever the reason is.
        if len(frame.data) < MAX_DISCONNECT_CHARACTERS and '"link_disabled"' in frame.data:
            self._disabled.append(time.monotonic())

    def _check_not_disabled(self) -> None:
        times = self._disabled
        if len(times) == MAX_DISABLED and times[-1] - times[0] < DISABLED_WITHIN_S:
            raise LinkDeadError("Slack closes each link at once: Socket Mode is switched off in the app's settings")
