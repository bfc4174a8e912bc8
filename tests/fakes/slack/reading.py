"""The Web API's methods that only read."""

from __future__ import annotations

from typing import Any

from tests.fakes.slack.arguments import ApiError, Arguments
from tests.fakes.slack.workspace import BOT_ID, BOT_USER, TEAM, Channel, Message, Workspace


class Reading:
    """Who am I, where am I, what was said."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def api_test(self, arguments: Arguments) -> dict[str, Any]:
        """``api.test``: gives the arguments back; an ``error`` argument fails with that error."""
        error = arguments.get("error")
        if error:
            raise ApiError(error, args=arguments.values)
        return {"ok": True, "args": arguments.values}

    def auth_test(self, arguments: Arguments) -> dict[str, Any]:
        """``auth.test``."""
        name = self.workspace.people[BOT_USER].lower()
        who = {"user": name, "user_id": BOT_USER, "bot_id": BOT_ID}
        return {"ok": True, "url": "https://fake.slack.com/", "team": "Fake", "team_id": TEAM, **who}

    def user(self, arguments: Arguments) -> dict[str, Any]:
        """``users.info``."""
        user = arguments.need("user", "user_not_found")
        if user not in self.workspace.people:
            raise ApiError("user_not_found")
        name = self.workspace.people[user]
        profile = {"real_name": name, "display_name": name}
        is_bot = user == BOT_USER
        return {"ok": True, "user": {"id": user, "team_id": TEAM, "name": name, "is_bot": is_bot, "profile": profile}}

    def conversation(self, arguments: Arguments) -> dict[str, Any]:
        """``conversations.info``."""
        return {"ok": True, "channel": self._channel(arguments).as_json()}

    def conversations(self, arguments: Arguments) -> dict[str, Any]:
        """``conversations.list``: what the bot can see."""
        visible = [c for c in self.workspace.channels.values() if c.is_member or c.kind == "channel"]
        return self._listed(visible, arguments)

    def own_conversations(self, arguments: Arguments) -> dict[str, Any]:
        """``users.conversations``: what the bot is in."""
        return self._listed([c for c in self.workspace.channels.values() if c.is_member], arguments)

    def history(self, arguments: Arguments) -> dict[str, Any]:
        """``conversations.history``: what stands in the channel itself, newest first."""
        channel = self._readable(arguments)
        top = [m for m in channel.messages.values() if not m.thread_ts and self._stands(channel, m)]
        chosen = sorted(self._between(top, arguments), key=lambda m: m.ts, reverse=True)
        return self._page(chosen, arguments, default=100)

    def replies(self, arguments: Arguments) -> dict[str, Any]:
        """``conversations.replies``: a thread, its first message always first, oldest first."""
        channel = self._readable(arguments)
        root = self.workspace.root(channel, arguments.need("ts", "thread_not_found"))
        chosen = self._between(self.workspace.replies(channel, root.ts), arguments)
        return self._page([root, *chosen], arguments, default=1000)

    def _channel(self, arguments: Arguments) -> Channel:
        channel = self.workspace.channels.get(arguments.need("channel", "channel_not_found"))
        if channel is None or (channel.kind == "group" and not channel.is_member):
            raise ApiError("channel_not_found")
        return channel

    def _readable(self, arguments: Arguments) -> Channel:
        channel = self._channel(arguments)
        if not channel.is_member:
            raise ApiError("not_in_channel")
        return channel

    def _stands(self, channel: Channel, message: Message) -> bool:
        return not message.deleted or bool(self.workspace.replies(channel, message.ts))

    def _between(self, messages: list[Message], arguments: Arguments) -> list[Message]:
        try:
            oldest, latest = float(arguments.get("oldest") or 0), float(arguments.get("latest") or "inf")
        except ValueError:
            raise ApiError("invalid_ts_oldest") from None
        if arguments.flag("inclusive"):
            return [m for m in messages if oldest <= float(m.ts) <= latest]
        return [m for m in messages if oldest < float(m.ts) < latest]

    def _listed(self, channels: list[Channel], arguments: Arguments) -> dict[str, Any]:
        types = (arguments.get("types") or "public_channel").split(",")
        names = {"channel": "public_channel", "group": "private_channel"}
        chosen = [channel for channel in channels if names.get(channel.kind, channel.kind) in types]
        if arguments.flag("exclude_archived"):
            chosen = [channel for channel in chosen if not channel.is_archived]
        start, end = self._bounds(arguments, 100)
        return {"ok": True, "channels": [c.as_json() for c in chosen[start:end]], **self._next(end, len(chosen))}

    def _page(self, messages: list[Message], arguments: Arguments, default: int) -> dict[str, Any]:
        start, end = self._bounds(arguments, default)
        metadata = arguments.flag("include_all_metadata")
        shown = [self.workspace.message_json(message, metadata) for message in messages[start:end]]
        more = {"has_more": len(messages) > end, **self._next(end, len(messages))}
        return {"ok": True, "messages": shown, **more}

    def _bounds(self, arguments: Arguments, default: int) -> tuple[int, int]:
        limit = max(1, min(arguments.number("limit", default), 1000))
        cursor = arguments.get("cursor") or "at:0"
        name, _, place = cursor.partition(":")
        if name != "at" or not place.isdigit():
            raise ApiError("invalid_cursor")
        return int(place), int(place) + limit

    def _next(self, end: int, count: int) -> dict[str, Any]:
        return {"response_metadata": {"next_cursor": f"at:{end}" if count > end else ""}}
