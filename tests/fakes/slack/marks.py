"""Reactions, status lines and agent sessions."""

from __future__ import annotations

import time
from typing import Any

from tests.fakes.slack.arguments import ApiError, Arguments
from tests.fakes.slack.workspace import BOT_USER, Channel, Message, Status, Workspace

SESSION_STATUSES = ("active", "processing", "suspended", "closed")


class Marks:
    """What the bot hangs on messages and threads."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def react(self, arguments: Arguments) -> dict[str, Any]:
        """``reactions.add``."""
        message, name = self._marked(arguments)
        users = message.reactions.setdefault(name, [])
        if BOT_USER in users:
            raise ApiError("already_reacted")
        users.append(BOT_USER)
        return {"ok": True}

    def unreact(self, arguments: Arguments) -> dict[str, Any]:
        """``reactions.remove``."""
        message, name = self._marked(arguments)
        users = message.reactions.get(name, [])
        if BOT_USER not in users:
            raise ApiError("no_reaction")
        users.remove(BOT_USER)
        if not users:
            del message.reactions[name]
        return {"ok": True}

    def set_status(self, arguments: Arguments) -> dict[str, Any]:
        """``assistant.threads.setStatus``: an empty status clears it."""
        channel = self._channel(arguments.need("channel_id", "channel_not_found"))
        thread_ts = arguments.need("thread_ts", "invalid_thread_ts")
        root = self.workspace.root(channel, thread_ts, "invalid_thread_ts")
        if "status" not in arguments.values:
            raise ApiError("invalid_arguments")
        loading = arguments.structure("loading_messages", list, "invalid_arguments") or []
        if len(loading) > self.workspace.rules.max_loading_messages:
            raise ApiError("invalid_arguments")
        text = arguments.get("status")
        if text is None:
            self.workspace.statuses.pop((channel.id, root.ts), None)
        else:
            self.workspace.statuses[channel.id, root.ts] = Status(text, loading, time.monotonic())
        return {"ok": True}

    def set_session(self, arguments: Arguments) -> dict[str, Any]:
        """``agents.sessions.setStatus``."""
        channel = self._channel(arguments.need("channel_id", "channel_not_found"))
        status = arguments.need("status", "invalid_status")
        if status not in SESSION_STATUSES:
            raise ApiError("invalid_status")
        thread_ts = arguments.need("thread_ts", "thread_ts_required")
        self.workspace.sessions[channel.id, thread_ts] = status
        return {"ok": True}

    def _channel(self, channel_id: str) -> Channel:
        channel = self.workspace.channels.get(channel_id)
        if channel is None or not channel.is_member:
            raise ApiError("channel_not_found")
        return channel

    def _marked(self, arguments: Arguments) -> tuple[Message, str]:
        channel = self._channel(arguments.need("channel", "channel_not_found"))
        message = self.workspace.living(channel, arguments.need("timestamp", "bad_timestamp"))
        return message, arguments.need("name", "invalid_name")
