"""``chat.postMessage``, ``chat.update`` and ``chat.delete``."""

from __future__ import annotations

from typing import Any

from tests.fakes.slack.arguments import ApiError, Arguments
from tests.fakes.slack.content import read_blocks, read_markdown_text, read_metadata
from tests.fakes.slack.events import Events
from tests.fakes.slack.workspace import BOT_ID, BOT_USER, Channel, Message, Workspace

TRUNCATED = {"warning": "message_truncated", "response_metadata": {"warnings": ["message_truncated"]}}


class Chat:
    """Messages of the bot."""

    def __init__(self, workspace: Workspace, events: Events) -> None:
        self.workspace = workspace
        self.events = events
        self.rules = workspace.rules

    def post(self, arguments: Arguments) -> dict[str, Any]:
        """``chat.postMessage``."""
        channel = self.writable(arguments.need("channel", "channel_not_found"))
        text, blocks = self._content(arguments)
        metadata = read_metadata(arguments, self.rules)
        thread_ts = arguments.get("thread_ts")
        root = self.workspace.root(channel, thread_ts) if thread_ts else None
        client_msg_id = arguments.get("client_msg_id")
        known = self._known(channel, client_msg_id) if self.rules.dedupe_client_msg_id and client_msg_id else None
        if known:
            return self.answer(known)
        cut = text if text is None else text[: self.rules.truncated_text_chars]
        message = self.say(channel, cut or "", root.ts if root else None)
        message.blocks, message.metadata, message.client_msg_id = blocks or [], metadata or None, client_msg_id
        self.told(message)
        return self.answer(message) | (TRUNCATED if cut != text else {})

    def update(self, arguments: Arguments) -> dict[str, Any]:
        """``chat.update``: a text without blocks takes the blocks away; metadata stays unless given."""
        channel = self._known_channel(arguments)
        message = self._own(channel, arguments, "cant_update_message")
        if channel.is_archived:
            raise ApiError("is_inactive")
        if self.workspace.stream_state(message) == "streaming":
            raise ApiError("streaming_state_conflict")
        text, blocks = self._content(arguments)
        if self.rules.length(arguments.get("text") or "") > self.rules.update_text_chars:
            raise ApiError("msg_too_long")
        metadata = read_metadata(arguments, self.rules)
        before = self.workspace.message_json(message)
        message.change(text, [] if blocks is None and text is not None else blocks)
        message.metadata = message.metadata if metadata is None else metadata or None
        if blocks is None:
            message.edited_ts = self.workspace.new_ts()
        if message.stream:
            message.stream.ended = "replaced"
        if self.rules.echo_own_messages:
            self.events.changed(message, before)
        return {**self.answer(message), "text": message.text}

    def delete(self, arguments: Arguments) -> dict[str, Any]:
        """``chat.delete``."""
        channel = self._known_channel(arguments)
        message = self._own(channel, arguments, "cant_delete_message")
        if self.workspace.stream_state(message) == "streaming":
            raise ApiError("cant_delete_message")
        self.remove(message)
        return {"ok": True, "channel": channel.id, "ts": message.ts}

    def remove(self, message: Message) -> list[str]:
        """Delete a message, whoever wants it; one with replies leaves a tombstone, and apps hear of a change."""
        before = self.workspace.message_json(message)
        message.deleted = True
        if message.bot_id == BOT_ID and not self.rules.echo_own_messages:
            return []
        channel = self.workspace.channels[message.channel_id]
        has_replies = bool(self.workspace.replies(channel, message.ts))
        return (self.events.changed if has_replies else self.events.deleted)(message, before)

    def say(self, channel: Channel, text: str, thread_ts: str | None) -> Message:
        """Put a message of the bot into the channel; the thread's status line goes away."""
        if thread_ts:
            self.workspace.statuses.pop((channel.id, thread_ts), None)
        message = Message(self.workspace.new_ts(), channel.id, BOT_USER, text, thread_ts=thread_ts, bot_id=BOT_ID)
        return self.workspace.add(message)

    def told(self, message: Message) -> None:
        """Tell the app of its own new message, as Slack does."""
        if self.rules.echo_own_messages:
            self.events.posted(message)

    def writable(self, channel_id: str) -> Channel:
        """The channel to post to; a person's id stands for the direct messages with them. Raises ApiError."""
        if channel_id in self.workspace.people:
            return self.workspace.direct(channel_id)
        channel = self.workspace.channels.get(channel_id)
        if channel is None or (channel.kind == "group" and not channel.is_member):
            raise ApiError("channel_not_found")
        if channel.is_archived:
            raise ApiError("is_archived")
        if not channel.is_member:
            raise ApiError("not_in_channel")
        return channel

    def answer(self, message: Message) -> dict[str, Any]:
        """The answer to a call that wrote `message`."""
        body = self.workspace.message_json(message)
        return {"ok": True, "channel": message.channel_id, "ts": message.ts, "message": body}

    def _content(self, arguments: Arguments) -> tuple[str | None, list[dict[str, Any]] | None]:
        text, blocks = arguments.get("text"), read_blocks(arguments, self.rules)
        markdown = read_markdown_text(arguments, self.rules)
        if markdown is not None:
            if self.rules.markdown_text_excludes_text and (text is not None or blocks is not None):
                raise ApiError("markdown_text_conflict")
            return markdown, blocks
        if text is None and not blocks:
            raise ApiError("no_text")
        return text, blocks

    def _known_channel(self, arguments: Arguments) -> Channel:
        channel = self.workspace.channels.get(arguments.need("channel", "channel_not_found"))
        if channel is None:
            raise ApiError("channel_not_found")
        return channel

    def _own(self, channel: Channel, arguments: Arguments, error: str) -> Message:
        message = self.workspace.living(channel, arguments.need("ts", "message_not_found"))
        if message.bot_id != BOT_ID:
            raise ApiError(error)
        return message

    def _known(self, channel: Channel, client_msg_id: str) -> Message | None:
        for message in channel.messages.values():
            if message.client_msg_id == client_msg_id:
                if message.deleted:
                    raise ApiError("duplicate_message_not_found")
                return message
        return None
