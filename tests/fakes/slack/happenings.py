"""What people, administrators and networks do on the fake: the things a test injects."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from tests.fakes.slack.arguments import ApiError, Arguments
from tests.fakes.slack.chat import Chat
from tests.fakes.slack.content import buttons
from tests.fakes.slack.deliveries import Deliveries
from tests.fakes.slack.events import Events, typed_blocks
from tests.fakes.slack.streams import Streams
from tests.fakes.slack.workspace import BOT_USER, Message, Workspace, new_uuid

Happening = dict[str, Any]


class Happenings:
    """Each method takes the injected JSON and returns JSON. `names` are the values of its ``type``."""

    def __init__(self, workspace: Workspace, events: Events, deliveries: Deliveries, streams: Streams) -> None:
        self.workspace = workspace
        self.events = events
        self.deliveries = deliveries
        self.streams = streams
        self.chat: Chat = streams.chat
        self.names: dict[str, Callable[[Happening], Awaitable[Any]]] = {
            "app_mention": self.mention,
            "message": self.message,
            "dm": self.direct,
            "edit": self.edit,
            "delete": self.delete,
            "click": self.click,
            "stop_stream": self.stop_stream,
            "channel": self.channel,
            "event": self.event,
            "link": self.link,
            "subscribe_url": self.subscribe_url,
            "http": self.http,
        }

    async def mention(self, what: Happening) -> Any:
        """A person mentions the bot: ``channel, user, text, thread_ts, ts, twin``, all optional."""
        text = str(what.get("text", "hi"))
        if f"<@{BOT_USER}>" not in text:
            text = f"<@{BOT_USER}> {text}"
        return await self.message({**what, "text": text})

    async def message(self, what: Happening) -> Any:
        """A person, or another app (``bot_id, subtype``), posts."""
        channel = self.workspace.channel(what.get("channel", "C1"))
        user, text, bot_id = what.get("user", "U2"), what.get("text", "hi"), what.get("bot_id")
        self.workspace.person(user)
        message = Message(what.get("ts") or self.workspace.new_ts(), channel.id, user, text, typed_blocks(text))
        message.thread_ts, message.bot_id, message.subtype = what.get("thread_ts"), bot_id, what.get("subtype")
        message.client_msg_id = None if bot_id else new_uuid()
        self.workspace.add(message)
        event_ids = self.events.posted(message, twin=what.get("twin", True))
        return {"channel": channel.id, "ts": message.ts, "event_ids": event_ids}

    async def direct(self, what: Happening) -> Any:
        """A person writes to the bot in direct messages: ``user, text, thread_ts``."""
        return await self.message({**what, "channel": self.workspace.direct(what.get("user", "U2")).id})

    async def edit(self, what: Happening) -> Any:
        """A person edits a message: ``channel, ts, text``."""
        message = self._message(what)
        before = self.workspace.message_json(message)
        message.change(what["text"], typed_blocks(what["text"]))
        message.edited_ts = self.workspace.new_ts()
        return {"event_ids": self.events.changed(message, before)}

    async def delete(self, what: Happening) -> Any:
        """A person deletes a message, anyone's: ``channel, ts``."""
        return {"event_ids": self.chat.remove(self._message(what))}

    async def click(self, what: Happening) -> Any:
        """A person clicks a button that is there: ``channel, ts, user, action_id``, and ``positive`` for feedback.

        Raises ValueError when the message shows no such button.
        """
        message, user = self._message(what), what.get("user", "U2")
        self.workspace.person(user)
        for block_id, element in buttons(message.blocks):
            if what.get("action_id", element.get("action_id")) != element.get("action_id"):
                continue
            if element["type"] == "feedback_buttons":
                chosen = element["positive_button" if what.get("positive", True) else "negative_button"]
            else:
                chosen = element
            action = {"type": element["type"], "action_id": element.get("action_id"), "value": chosen.get("value")}
            self.events.clicked(message, user, block_id, {**action, "text": chosen.get("text")})
            return {"action": action}
        raise ValueError(f"message {message.ts} shows no such button")

    async def stop_stream(self, what: Happening) -> Any:
        """A person stops a stream: ``channel, ts``."""
        self.streams.end(self._message(what), "stopped_by_user")
        return {"ok": True}

    async def channel(self, what: Happening) -> Any:
        """An administrator's doing: ``channel``, ``is_member``, ``is_archived``."""
        channel = self.workspace.channel(what["channel"])
        channel.is_member = what.get("is_member", channel.is_member)
        channel.is_archived = what.get("is_archived", channel.is_archived)
        return channel.as_json()

    async def event(self, what: Happening) -> Any:
        """Any event as it is: ``event``; where it names a person or a channel, they need not exist."""
        now = self.workspace.new_ts()
        return {"event_ids": self.events.raw({"event_ts": now, **what["event"]})}

    async def link(self, what: Happening) -> Any:
        """Something happens to every connection: ``action`` and its detail, see `SocketMode.disrupt`."""
        detail = {name: value for name, value in what.items() if name not in ("type", "action")}
        return {"sockets": await self.deliveries.sockets.disrupt(what["action"], detail)}

    async def subscribe_url(self, what: Happening) -> Any:
        """The app's owner enters a request URL: Slack asks it for a challenge, and from then on delivers there.

        Raises ValueError when the URL does not answer as it must; ``url: null`` goes back to Socket Mode.
        """
        url = what["url"]
        if url is not None:
            challenge = new_uuid()
            payload = {"type": "url_verification", "token": "fake-verification-token", "challenge": challenge}
            answer = await self.deliveries.post(url, payload)
            if answer.status != 200 or challenge not in answer.body:
                raise ValueError(f"the URL did not give the challenge back: {answer}")
        self.deliveries.events_url = url
        return {"url": url}

    async def http(self, what: Happening) -> Any:
        """One HTTP request: ``url, payload`` (text is sent as it is), and ``flaw`` or ``retry`` ([number, reason])."""
        retry = what.get("retry")
        answer = await self.deliveries.post(
            what["url"], what["payload"], retry=tuple(retry) if retry else None, flaw=what.get("flaw")
        )
        return asdict(answer)

    def before_call(self, name: str, arguments: Arguments) -> None:
        """Let `name` happen to the message of a call, just ahead of it."""
        channel = self.workspace.channels.get(arguments.get("channel") or "")
        message = channel.messages.get(arguments.get("ts") or "") if channel else None
        if message is None:
            return
        if name == "message_deleted":
            self.chat.remove(message)
        else:
            self.streams.end(message, "expired" if name == "stream_expired" else name)

    def _message(self, what: Happening) -> Message:
        channel = self.workspace.channel(what.get("channel", "C1"))
        try:
            return self.workspace.living(channel, what["ts"])
        except ApiError as error:
            raise ValueError(f"no message {what['ts']} in {channel.id}: {error}") from None
