"""Slack: events as Socket Mode and HTTP mode bring them, and HTTP mode's bytes with and without a right signature."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from bot.chat_event import ChatEvent
from bot.platforms.slack.events import EventError, chat_event
from bot.platforms.slack.identity import Identity
from bot.platforms.slack.platform import SlackPlatform
from bot.platforms.slack.webhook import Webhook
from config.platform_sections import SlackSettings
from tests.fuzz.target import ObjectTarget, Reading
from tests.fuzz.targets.http import Call, HttpTarget, default_section

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
ME = Identity("T1", "UBOT", "BBOT")
TS = "1610241741.000200"
MENTION: dict[str, Any] = {
    "client_msg_id": "f0582a78-72db-4feb-b2f3-1e47d66365c8",
    "type": "app_mention",
    "text": "<@UBOT> how many &lt;b&gt; <#C1|general> <https://a.b|c> <!subteam^S1|@team>?",
    "user": "U222",
    "ts": TS,
    "team": "T111",
    "channel": "C111",
    "event_ts": TS,
    "blocks": [],
}
CHANGED = {
    "type": "message",
    "subtype": "message_changed",
    "channel": "C111",
    "channel_type": "channel",
    "ts": "1610241742.000300",
    "message": {"type": "message", "user": "U222", "text": "<@UBOT> now?", "ts": TS, "thread_ts": TS},
    "previous_message": {"type": "message", "user": "U222", "text": "<@UBOT> then?", "ts": TS},
}
DELETED = {
    "type": "message",
    "subtype": "message_deleted",
    "channel": "C111",
    "deleted_ts": TS,
    "previous_message": {"user": "U222", "text": "x"},
}
CLICK = {
    "type": "block_actions",
    "user": {"id": "U222", "team_id": "T1"},
    "actions": [{"action_id": "fennel_feedback", "value": "good:q-1", "action_ts": TS}],
}


def payloads() -> list[bytes]:
    """Payloads as Slack delivers them."""
    outer = {"type": "event_callback", "team_id": "T111", "event_id": "Ev1"}
    direct = {**MENTION, "type": "message", "channel": "D1", "channel_type": "im", "subtype": "file_share"}
    events = [{**outer, "event": event} for event in (MENTION, direct, CHANGED, DELETED)]
    return [json.dumps(body).encode() for body in (*events, CLICK)]


class Events(ObjectTarget):
    """Payloads that Slack's SDK has taken apart."""

    def seeds(self) -> Sequence[bytes]:
        """One of each kind."""
        return payloads()

    def take(self, body: dict[str, Any]) -> bool:
        """Raises anything but EventError."""
        with Reading(EventError) as reading:
            chat_event(body, ME)
        return reading.took


class Http(HttpTarget):
    """HTTP mode, from the bytes on."""

    def __init__(self) -> None:
        secrets = {"bot_token": "xoxb-1", "signing_secret": SECRET}
        self._settings = SlackSettings.model_validate(default_section("slack", mode="http", **secrets))
        self._webhook: Webhook | None = None
        super().__init__()

    def seeds(self) -> Sequence[bytes]:
        """Payloads, and calls that say themselves how they are signed."""
        forged = {"X-Slack-Signature": "v0=00", "X-Slack-Request-Timestamp": str(int(time.time()))}
        unsigned = json.dumps({"sent": payloads()[0].decode(), "headers": {"Content-Type": "application/json"}})
        wrong = json.dumps({"sent": "{}", "headers": {**forged, "Content-Type": "text/plain; charset=utf-8"}})
        return [*payloads(), b"payload=" + quote(payloads()[-1]).encode(), unsigned.encode(), wrong.encode()]

    async def serve(self) -> None:
        """Serve until cancelled."""
        platform = SlackPlatform(self._settings)
        self._webhook = Webhook(platform._app(ME, _take), SECRET, "127.0.0.1", 0)
        try:
            await self._webhook.run(asyncio.Event())
        finally:
            await platform.close()

    def url(self) -> str:
        """Where the server listens."""
        return self._webhook.url if self._webhook else ""

    def sealed(self, data: bytes) -> Call:
        """Signed with the right secret, now."""
        at = str(int(time.time()))
        proof = hmac.new(SECRET.encode(), b"v0:" + at.encode() + b":" + data, hashlib.sha256).hexdigest()
        kind = "application/x-www-form-urlencoded" if data[:8] == b"payload=" else "application/json"
        headers = {"X-Slack-Request-Timestamp": at, "X-Slack-Signature": f"v0={proof}", "Content-Type": kind}
        return data, headers, {}


async def _take(event: ChatEvent) -> None:
    """Take it in."""
