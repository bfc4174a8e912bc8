"""What Slack tells the app about what happens, in Slack's own shapes."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from typing import Any

from tests.fakes.slack.content import Blocks
from tests.fakes.slack.deliveries import Deliveries
from tests.fakes.slack.workspace import APP, BOT_ID, BOT_USER, TEAM, Channel, Message, Workspace

MESSAGE_EVENTS = {"channel": "message.channels", "group": "message.groups", "im": "message.im", "mpim": "message.mpim"}


class Events:
    """Turns changes of the workspace into deliveries, as far as the app subscribed to them. Returns event ids."""

    def __init__(self, workspace: Workspace, deliveries: Deliveries, subscriptions: Iterable[str]) -> None:
        self.workspace = workspace
        self.deliveries = deliveries
        self.subscriptions = set(subscriptions)

    def raw(self, event: dict[str, Any]) -> list[str]:
        """Deliver any event as it is."""
        event_id = f"Ev{secrets.token_hex(5).upper()}"
        payload = {
            "token": "fake-verification-token",
            "team_id": TEAM,
            "api_app_id": APP,
            "type": "event_callback",
            "event_id": event_id,
            "event_time": int(time.time()),
            "event_context": f"1-{event.get('type')}-{TEAM}-{event.get('channel')}",
            "is_ext_shared_channel": False,
            "authorizations": [
                {
                    "enterprise_id": None,
                    "team_id": TEAM,
                    "user_id": BOT_USER,
                    "is_bot": True,
                    "is_enterprise_install": False,
                }
            ],
            "event": event,
        }
        self.deliveries.publish("events_api", payload)
        return [event_id]

    def posted(self, message: Message, *, twin: bool = True) -> list[str]:
        """A new message: ``app_mention`` where the bot is mentioned in a channel, and its ``message`` twin."""
        channel = self.workspace.channels[message.channel_id]
        body = {**self.workspace.message_json(message), "channel": channel.id, "event_ts": message.ts}
        sent: list[str] = []
        mentioned = f"<@{BOT_USER}>" in message.text and channel.kind != "im" and message.bot_id != BOT_ID
        if mentioned and channel.is_member and "app_mention" in self.subscriptions:
            sent += self.raw({**body, "type": "app_mention"})
        if twin or not mentioned:
            sent += self._message(channel, {**body, "type": "message"})
        return sent

    def changed(self, message: Message, before: dict[str, Any]) -> list[str]:
        """A message that was edited, or became a tombstone."""
        after = self.workspace.message_json(message)
        return self._hidden(message, {"subtype": "message_changed", "message": after, "previous_message": before})

    def deleted(self, message: Message, before: dict[str, Any]) -> list[str]:
        """A message that is gone."""
        more = {"subtype": "message_deleted", "deleted_ts": message.ts, "previous_message": before}
        return self._hidden(message, more)

    def clicked(self, message: Message, user: str, block_id: str, action: dict[str, Any]) -> None:
        """A person's click on a button of a message."""
        channel = self.workspace.channels[message.channel_id]
        place = {"channel_id": channel.id, "message_ts": message.ts}
        if message.thread_ts:
            place["thread_ts"] = message.thread_ts
        payload: dict[str, Any] = {
            "type": "block_actions",
            "user": {"id": user, "username": self.workspace.people.get(user), "team_id": TEAM},
            "api_app_id": APP,
            "token": "fake-verification-token",
            "trigger_id": f"{time.time_ns()}.{secrets.token_hex(4)}",
            "team": {"id": TEAM, "domain": "fake"},
            "enterprise": None,
            "is_enterprise_install": False,
            "container": {"type": "message", "is_ephemeral": False, **place},
            "channel": {"id": channel.id, "name": channel.name},
            "message": self.workspace.message_json(message),
            "state": {"values": {}},
            "response_url": f"{self.deliveries.server.url}/actions/{TEAM}/{secrets.token_hex(6)}",
            "actions": [{"block_id": block_id, "action_ts": self.workspace.new_ts(), **action}],
        }
        self.deliveries.publish("interactive", payload)

    def _hidden(self, message: Message, more: dict[str, Any]) -> list[str]:
        channel = self.workspace.channels[message.channel_id]
        ts = self.workspace.new_ts()
        body = {"type": "message", "hidden": True, "channel": channel.id, "ts": ts, "event_ts": ts}
        return self._message(channel, {**body, **more})

    def _message(self, channel: Channel, event: dict[str, Any]) -> list[str]:
        if not channel.is_member or MESSAGE_EVENTS[channel.kind] not in self.subscriptions:
            return []
        return self.raw({**event, "channel_type": channel.kind})


def typed_blocks(text: str) -> Blocks:
    """The blocks that Slack's own client makes of what a person types."""
    words = {"type": "rich_text_section", "elements": [{"type": "text", "text": text}]}
    return [{"type": "rich_text", "block_id": secrets.token_hex(2), "elements": [words]}]
