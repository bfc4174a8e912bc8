"""``chat.startStream``, ``chat.appendStream`` and ``chat.stopStream``: a message that grows while it is read."""

from __future__ import annotations

import time
from typing import Any

from tests.fakes.slack.arguments import ApiError, Arguments
from tests.fakes.slack.chat import Chat
from tests.fakes.slack.content import read_blocks, read_chunks, read_markdown_text, read_metadata, shown
from tests.fakes.slack.workspace import BOT_ID, Message, Stream


class Streams:
    """The life of a stream: started, appended to, stopped; by Slack itself after its time, or by a person."""

    def __init__(self, chat: Chat) -> None:
        self.chat = chat
        self.workspace = chat.workspace
        self.rules = chat.rules

    def start(self, arguments: Arguments) -> dict[str, Any]:
        """``chat.startStream``: a reply in a thread; in channels it needs to know for whom."""
        channel = self.chat.writable(arguments.need("channel", "channel_not_found"))
        root = self.workspace.root(channel, arguments.need("thread_ts"))
        if channel.kind != "im":
            arguments.need("recipient_team_id", "missing_recipient_team_id")
            if arguments.need("recipient_user_id", "missing_recipient_user_id") not in self.workspace.people:
                raise ApiError("user_not_found")
        now = time.monotonic()
        stream = Stream(now, now)
        content = self._read(arguments, stream)
        message = self.chat.say(channel, "", root.ts)
        message.stream = stream
        self._apply(message, stream, content)
        self.chat.told(message)
        return {"ok": True, "channel": channel.id, "ts": message.ts}

    def append(self, arguments: Arguments) -> dict[str, Any]:
        """``chat.appendStream``."""
        message, stream = self._open(arguments)
        content = self._read(arguments, stream)
        if not content:
            raise ApiError("no_text")
        self._check_length(message, content, [])
        self._apply(message, stream, content)
        stream.appends += 1
        return {"ok": True, "channel": message.channel_id, "ts": message.ts}

    def stop(self, arguments: Arguments) -> dict[str, Any]:
        """``chat.stopStream``: the last of the text, blocks below it, metadata."""
        message, stream = self._open(arguments)
        content = self._read(arguments, stream)
        blocks = read_blocks(arguments, self.rules) or []
        metadata = read_metadata(arguments, self.rules)
        self._check_length(message, content, blocks)
        before = self.workspace.message_json(message)
        self._apply(message, stream, content)
        message.blocks = message.blocks + blocks
        message.metadata = metadata or None
        self.end(message, "stopped")
        session_status = arguments.get("session_status")
        if session_status:
            self.workspace.sessions[message.channel_id, message.thread_ts] = session_status
        if self.rules.echo_own_messages:
            self.chat.events.changed(message, before)
        return self.chat.answer(message)

    def end(self, message: Message, how: str) -> None:
        """End a stream: stopped, stopped_by_user or expired. Raises ApiError when it is not one that runs."""
        if self.workspace.stream_state(message) != "streaming" or not message.stream:
            raise ApiError("message_not_in_streaming_state")
        message.stream.ended = how

    def _open(self, arguments: Arguments) -> tuple[Message, Stream]:
        channel = self.chat.writable(arguments.need("channel", "channel_not_found"))
        message = self.workspace.living(channel, arguments.need("ts", "message_not_found"))
        if message.bot_id != BOT_ID:
            raise ApiError("message_not_owned_by_app")
        state = self.workspace.stream_state(message)
        if state == "stopped_by_user":
            raise ApiError("stopped_by_user")
        if state != "streaming" or not message.stream:
            raise ApiError("message_not_in_streaming_state")
        return message, message.stream

    def _read(self, arguments: Arguments, stream: Stream) -> list[dict[str, Any]]:
        """The call's content as chunks; a stream keeps the way it was opened with. Raises ApiError."""
        markdown = read_markdown_text(arguments, self.rules)
        chunks = read_chunks(arguments, self.rules)
        if markdown is not None and chunks:
            raise ApiError("cannot_provide_both_markdown_text_and_chunks")
        if markdown is None and not chunks:
            return []
        mode = "chunks" if chunks else "markdown_text"
        if self.rules.stream_mode_locked and stream.mode not in (None, mode):
            raise ApiError("streaming_mode_mismatch")
        stream.mode = mode
        return chunks or [{"type": "markdown_text", "text": markdown}]

    def _check_length(self, message: Message, content: list[dict[str, Any]], blocks: list[dict[str, Any]]) -> None:
        new = "".join(chunk["text"] for chunk in content if chunk["type"] == "markdown_text")
        total = self.rules.length(message.text + new + shown(message.blocks) + shown(blocks))
        if total > self.rules.all_blocks_chars:
            raise ApiError("msg_blocks_too_long")

    def _apply(self, message: Message, stream: Stream, content: list[dict[str, Any]]) -> None:
        stream.last_append_s = time.monotonic()
        for chunk in content:
            if chunk["type"] == "markdown_text":
                message.text += chunk["text"]
            elif chunk["type"] == "blocks":
                message.blocks = message.blocks + chunk["blocks"]
            elif chunk["type"] == "task_update":
                stream.tasks[chunk["id"]] = stream.tasks.get(chunk["id"], {}) | chunk
