"""What a Slack workspace remembers: people, channels, messages, statuses."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.slack.arguments import ApiError
from tests.fakes.slack.rules import Rules

TEAM = "T1"
APP = "A1"
BOT_USER = "UBOT"
BOT_ID = "BBOT"
BOT_TOKEN = "xoxb-fake-bot-token"
APP_TOKEN = "xapp-fake-app-token"
SIGNING_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"


@dataclass(slots=True)
class Stream:
    """A message's life as a stream; times are monotonic."""

    started_s: float
    last_append_s: float
    mode: str | None = None  # "markdown_text" or "chunks": what it was opened with, once it has content
    ended: str | None = None  # "stopped", "stopped_by_user", "expired" or "replaced" by an edit after its end
    appends: int = 0
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Edit:
    """What a message said before it was edited at `at_s` (monotonic)."""

    at_s: float
    text: str
    blocks: list[dict[str, Any]]


@dataclass(slots=True)
class Message:
    """One message; `deleted` ones stay for the record, and as a tombstone where they have replies."""

    ts: str
    channel_id: str
    user: str
    text: str
    blocks: list[dict[str, Any]] = field(default_factory=list)
    thread_ts: str | None = None
    bot_id: str | None = None
    subtype: str | None = None
    metadata: dict[str, Any] | None = None
    client_msg_id: str | None = None
    reactions: dict[str, list[str]] = field(default_factory=dict)
    edits: list[Edit] = field(default_factory=list)
    edited_ts: str | None = None
    deleted: bool = False
    stream: Stream | None = None

    def change(self, text: str | None, blocks: list[dict[str, Any]] | None) -> None:
        """Replace what is given and keep what was said before."""
        self.edits.append(Edit(time.monotonic(), self.text, self.blocks))
        self.text = self.text if text is None else text
        self.blocks = self.blocks if blocks is None else blocks


@dataclass(slots=True)
class Channel:
    """A conversation: `kind` is channel, group, im or mpim."""

    id: str
    name: str
    kind: str = "channel"
    is_member: bool = True
    is_archived: bool = False
    user: str | None = None  # the other side of a direct message
    messages: dict[str, Message] = field(default_factory=dict)
    threads: dict[str, list[Message]] = field(default_factory=dict)  # every reply ever, by the first message's ts

    def as_json(self) -> dict[str, Any]:
        """As ``conversations.info`` gives it."""
        kinds = {f"is_{kind}": kind == self.kind for kind in ("channel", "group", "im", "mpim")}
        shared = {"id": self.id, "is_archived": self.is_archived, "is_private": self.kind != "channel", **kinds}
        if self.kind == "im":
            return {**shared, "user": self.user}
        return {**shared, "name": self.name, "is_member": self.is_member}


@dataclass(frozen=True, slots=True)
class Status:
    """A status line, shown in a thread since `since_s` (monotonic)."""

    text: str
    loading_messages: list[str]
    since_s: float


class Workspace:
    """The team ``T1`` with two people, a channel, a private one, a direct conversation and the bot."""

    def __init__(self, rules: Rules, time_scale: float) -> None:
        self.rules = rules
        self.time_scale = time_scale
        self.people: dict[str, str] = {"U2": "Ada", "U3": "Wei", BOT_USER: "Fennel"}
        self.channels: dict[str, Channel] = {}
        self.statuses: dict[tuple[str, str], Status] = {}
        self.sessions: dict[tuple[str, str | None], str] = {}
        self._last_us = 0
        for channel_id in ("C1", "G1", "D2"):
            self.channel(channel_id)

    def new_ts(self) -> str:
        """A timestamp that no message has had, greater than all before."""
        self._last_us = max(self._last_us + 1, time.time_ns() // 1000)
        return f"{self._last_us // 1_000_000}.{self._last_us % 1_000_000:06d}"

    def channel(self, channel_id: str) -> Channel:
        """The channel of that id, made where it does not exist: C public, G private, D direct, M group message."""
        if channel_id not in self.channels:
            kind = {"G": "group", "D": "im", "M": "mpim"}.get(channel_id[0], "channel")
            user = f"U{channel_id[1:]}" if kind == "im" else None
            self.channels[channel_id] = Channel(channel_id, f"name-of-{channel_id.lower()}", kind, user=user)
        return self.channels[channel_id]

    def direct(self, user: str) -> Channel:
        """The direct conversation of the bot and `user`."""
        return self.channel(f"D{user[1:]}")

    def person(self, user: str) -> None:
        """Let `user` be one of the team."""
        self.people.setdefault(user, f"Name of {user}")

    def add(self, message: Message) -> Message:
        """Put a message into its channel."""
        channel = self.channels[message.channel_id]
        channel.messages[message.ts] = message
        if message.thread_ts:
            channel.threads.setdefault(message.thread_ts, []).append(message)
        return message

    def living(self, channel: Channel, ts: str, error: str = "message_not_found") -> Message:
        """A message that is there and not deleted. Raises ApiError(`error`)."""
        message = channel.messages.get(ts)
        if message is None or message.deleted:
            raise ApiError(error)
        return message

    def root(self, channel: Channel, thread_ts: str, error: str = "thread_not_found") -> Message:
        """The first message of a thread; a tombstone is one still. Raises ApiError(`error`)."""
        message = channel.messages.get(thread_ts)
        if message is None or (message.deleted and not self.replies(channel, thread_ts)):
            raise ApiError(error)
        return self.root(channel, message.thread_ts, error) if message.thread_ts else message

    def replies(self, channel: Channel, thread_ts: str) -> list[Message]:
        """A thread's living replies, oldest first."""
        found = [message for message in list(channel.threads.get(thread_ts, ())) if not message.deleted]
        return sorted(found, key=lambda message: message.ts)

    def stream_state(self, message: Message) -> str | None:
        """None, streaming, stopped, stopped_by_user, expired, or replaced by an edit after the stream's end."""
        stream = message.stream
        if stream is None:
            return None
        if stream.ended is None:
            now = time.monotonic()
            idle_s = self.rules.stream_idle_s
            too_old = now - stream.started_s > self.rules.stream_life_s * self.time_scale
            too_idle = idle_s is not None and now - stream.last_append_s > idle_s * self.time_scale
            if too_old or too_idle:
                stream.ended = "expired"
        return stream.ended or "streaming"

    def status(self, channel_id: str, thread_ts: str) -> Status | None:
        """The status line that a person sees in a thread now, if any."""
        status = self.statuses.get((channel_id, thread_ts))
        if status and time.monotonic() - status.since_s <= self.rules.status_life_s * self.time_scale:
            return status
        return None

    def message_json(self, message: Message, metadata: bool = False) -> dict[str, Any]:
        """A message as the Web API and the events show it."""
        channel = self.channels[message.channel_id]
        body: dict[str, Any] = {"type": "message", "user": message.user, "text": message.text, "ts": message.ts}
        if message.deleted:
            body.update(user="USLACKBOT", subtype="tombstone", text="This message was deleted.")
        if message.subtype and not message.deleted:
            body["subtype"] = message.subtype
        if message.bot_id:
            body.update(bot_id=message.bot_id, bot_profile={"id": message.bot_id, "team_id": TEAM})
        if message.bot_id == BOT_ID:
            body["app_id"] = APP
        body["team"] = TEAM
        body["blocks"] = [] if message.deleted else message.blocks
        if message.client_msg_id:
            body["client_msg_id"] = message.client_msg_id
        if message.edited_ts:
            body["edited"] = {"user": message.user, "ts": message.edited_ts}
        if message.reactions:
            body["reactions"] = [
                {"name": name, "users": users, "count": len(users)} for name, users in message.reactions.items()
            ]
        if message.stream:
            body["streaming_state"] = "in_progress" if self.stream_state(message) == "streaming" else "completed"
        if metadata and message.metadata:
            body["metadata"] = message.metadata
        return body | self._thread_json(channel, message)

    def _thread_json(self, channel: Channel, message: Message) -> dict[str, Any]:
        if message.thread_ts:
            parent = channel.messages.get(message.thread_ts)
            return {"thread_ts": message.thread_ts, "parent_user_id": parent.user if parent else None}
        replies = self.replies(channel, message.ts)
        if not replies:
            return {}
        users = list(dict.fromkeys(reply.user for reply in replies))
        return {
            "thread_ts": message.ts,
            "reply_count": len(replies),
            "reply_users": users,
            "reply_users_count": len(users),
            "latest_reply": replies[-1].ts,
        }


def new_uuid() -> str:
    """A random id as Slack's clients and envelopes carry them."""
    return str(uuid.uuid4())
