"""Calls of Slack's Web API: each made once and at Slack's pace; what goes wrong is said in all platforms' words."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.platform import SendAmbiguousError, SendLaterError, SendRefusedError
from bot.platforms.slack import metrics
from bot.platforms.slack.pacing import Pacer
from bot.platforms.slack.sdk_log import sdk_logger
from bot.sending_session import sending_session

READS = frozenset({"conversations.history", "conversations.replies", "users.conversations", "users.info"})
BROKEN_INSIDE = frozenset(
    {"internal_error", "fatal_error", "request_timeout", "service_unavailable", "team_added_to_org"}
)
"""Slack's own faults: the call may have taken effect."""
SHORT_WAIT_S = 1.0
"""A call that may be made within this is waited for; one that has to wait longer is for the caller to come back to."""
AWAY_S = 1.0


class SlackRefusedError(SendRefusedError):
    """Slack answered ``ok: false``; `error` is its word for why."""

    def __init__(self, method: str, error: str) -> None:
        super().__init__(f"Slack refused {method}: {error}")
        self.error = error


class SlackCalls:
    """The Web API with the bot's token. Nothing is tried twice: what may be posted twice is for the caller to judge."""

    def __init__(self, token: str, api_url: str, pacer: Pacer, *, timeout_s: float = 10.0) -> None:
        self._token = token
        self._api_url = api_url
        self._pacer = pacer
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._client: AsyncWebClient | None = None
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    def client(self, *, with_token: bool = True) -> AsyncWebClient:
        """The SDK's client; has to be asked for inside the event loop."""
        self._session = self._session or sending_session(self._timeout)
        # The SDK's own retry posts a message twice when the connection broke after Slack had taken it.
        return AsyncWebClient(
            token=self._token if with_token else None,
            base_url=self._api_url,
            session=self._session,
            retry_handlers=[],
            logger=sdk_logger(),
        )

    async def close(self) -> None:
        """Close the connections."""
        self._closed = True
        if self._session:
            await self._session.close()

    async def call(
        self, method: str, *, growing: bool = False, patient: bool = False, **arguments: Any
    ) -> dict[str, Any]:
        """Make one call. A `patient` one waits for its turn however long that is.

        Raises SlackRefusedError, SendLaterError or SendAmbiguousError.
        """
        channel = str(arguments.get("channel", ""))
        await self._wait_for_turn(method, channel, growing=growing, patient=patient)
        if self._closed:
            raise SendLaterError("the link to Slack is closed", AWAY_S)
        client = self._client = self._client or self.client()
        given = {name: value for name, value in arguments.items() if value is not None}
        try:
            if method in READS:
                response = await client.api_call(method, http_verb="GET", params=given)
            else:
                response = await client.api_call(method, json=given)
        except SlackApiError as error:
            raise self._said(method, channel, error) from error
        except aiohttp.ClientConnectorError as error:
            metrics.calls.labels(method, "away").inc()
            raise SendLaterError(f"Slack cannot be reached: {error}", AWAY_S) from error
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            metrics.calls.labels(method, "broken").inc()
            raise SendAmbiguousError(f"{method} broke: {type(error).__name__}") from error
        metrics.calls.labels(method, "ok").inc()
        return cast(dict[str, Any], response.data)

    async def _wait_for_turn(self, method: str, channel: str, *, growing: bool, patient: bool) -> None:
        while wait_s := self._pacer.take(method, channel, growing=growing):
            if wait_s > SHORT_WAIT_S and not patient:
                raise SendLaterError(f"{method} is called as often as Slack allows", wait_s)
            await asyncio.sleep(wait_s)

    def _said(self, method: str, channel: str, error: SlackApiError) -> Exception:
        """What a refusal means. The SDK gives no body where that was no JSON."""
        response = error.response
        parsed = isinstance(response, AsyncSlackResponse)
        status = response.status_code if parsed else response.status
        said = str(response.get("error") or "") if parsed and isinstance(response.data, dict) else ""
        if status == 429 or said in ("ratelimited", "rate_limited"):
            after_s = _seconds(response.headers.get("Retry-After"))
            self._pacer.hold(method, channel, after_s)
            metrics.calls.labels(method, "rate_limited").inc()
            return SendLaterError(f"Slack wants {method} later", after_s)
        if not said or status >= 500 or said in BROKEN_INSIDE:
            metrics.calls.labels(method, "broken").inc()
            return SendAmbiguousError(f"{method} broke: Slack answered {status} {said}".rstrip())
        metrics.calls.labels(method, "refused").inc()
        return SlackRefusedError(method, said)


def _seconds(header: str | None) -> float:
    try:
        return max(0.0, float(header or 1))
    except ValueError:
        return 1.0
