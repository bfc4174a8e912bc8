"""Slack's own Python clients, pointed at the fake."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tests.fakes.slack import FakeSlack
from tests.fakes.slack.deliveries import Delivery

MakeFake = Callable[..., FakeSlack]
FEEDBACK: dict[str, Any] = {
    "type": "context_actions",
    "elements": [
        {
            "type": "feedback_buttons",
            "action_id": "fb",
            "positive_button": {"text": {"type": "plain_text", "text": "Good"}, "value": "up"},
            "negative_button": {"text": {"type": "plain_text", "text": "Bad"}, "value": "down"},
        }
    ],
}
RECIPIENT: dict[str, Any] = {"recipient_team_id": "T1", "recipient_user_id": "U2"}


def remove_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slack's clients would take a proxy from the environment even for the loopback address."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def web_client(fake: FakeSlack, **options: Any) -> AsyncWebClient:
    """The SDK's client without its automatic retries."""
    urls = fake.urls()
    options = {"token": urls["FENNEL_SLACK__BOT_TOKEN"], "retry_handlers": [], "timeout": 10, **options}
    return AsyncWebClient(base_url=urls["FENNEL_SLACK__API_URL"], **options)


async def error_of(call: Awaitable[Any]) -> str:
    """The error that the API refused `call` with."""
    with pytest.raises(SlackApiError) as caught:
        await call
    return str(caught.value.response["error"])


class Recorder:
    """A bolt app that writes down every event, acknowledges after its work, and raises where `broken` is set."""

    def __init__(self, fake: FakeSlack) -> None:
        self.events: list[dict[str, Any]] = []
        self.event_ids: list[str] = []
        self.actions: list[dict[str, Any]] = []
        self.retries: list[str] = []
        self.broken = False
        urls = fake.urls()
        self.client = web_client(fake)
        self.app = AsyncApp(
            client=self.client,
            signing_secret=urls["FENNEL_SLACK__SIGNING_SECRET"],
            process_before_response=True,
            authorize=authorize(str(self.client.token)),
        )
        for name in ("app_mention", "message", "reaction_added"):
            self.app.event(name)(self._listener())
        self.app.action("fb")(self._action_listener())

    # Bolt gives arguments by name, also one called self: listeners are closures.

    def _listener(self) -> Callable[..., Awaitable[None]]:
        async def listen(event: dict[str, Any], body: dict[str, Any], request: Any) -> None:
            if self.broken:
                raise RuntimeError("the queue is down")
            self.events.append(event)
            self.event_ids.append(body["event_id"])
            self.retries.extend(request.headers.get("x-slack-retry-num", []))

        return listen

    def _action_listener(self) -> Callable[..., Awaitable[None]]:
        async def listen(ack: Any, body: dict[str, Any]) -> None:
            await ack()
            self.actions.append(body)

        return listen

    def texts(self, kind: str = "app_mention") -> list[str]:
        """The texts of the events of one type, as they came."""
        return [event["text"] for event in self.events if event["type"] == kind]


def authorize(token: str) -> Callable[..., Awaitable[AuthorizeResult]]:
    """Who the bot is, without asking Slack at the first event."""

    async def result(**_: Any) -> AuthorizeResult:
        return AuthorizeResult(enterprise_id=None, team_id="T1", bot_user_id="UBOT", bot_id="BBOT", bot_token=token)

    return result


def delivery(fake: FakeSlack, injected: dict[str, Any]) -> Delivery:
    """The delivery of the first event that something injected made."""
    (found,) = [d for d in fake.deliveries.all if d.event_id == injected["event_ids"][0]]
    return found


async def acked(fake: FakeSlack) -> None:
    """Wait until everything is acknowledged."""
    await fake.eventually(lambda: fake.deliveries.all and all(d.state == "acked" for d in fake.deliveries.all))
