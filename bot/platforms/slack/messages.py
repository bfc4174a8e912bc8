"""Single messages of ours in Slack: posted, updated, found again in their thread."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

import structlog

from bot.platforms.slack.calls import SlackCalls, SlackRefusedError
from bot.platforms.slack.identity import Whoami
from bot.platforms.slack.posts import Post
from contract.question import Question

METADATA_TYPE = "fennel_answer"
GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", "message_not_owned_by_app"})
NOT_STREAMING = frozenset({"message_not_in_streaming_state", "stopped_by_user"})
BLOCKS_REFUSED = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long"})
NAMESPACE = uuid.UUID("5f1f4f0e-9b43-5c0c-9a39-0d0f6b8a7f11")

log = structlog.get_logger(__name__)


class Messages:
    """Writes and reads messages. Raises what `SlackCalls.call` raises."""

    def __init__(self, calls: SlackCalls, whoami: Whoami) -> None:
        self._calls = calls
        self._whoami = whoami

    async def post(self, question: Question, post: Post, *, growing: bool = False, patient: bool = False) -> str:
        """Post a message in the question's thread, and give its ts."""
        arguments: dict[str, Any] = {
            "channel": question.channel,
            "thread_ts": question.thread,
            "metadata": metadata(question, post.part),
            "unfurl_links": False,
            "unfurl_media": False,
            "client_msg_id": _client_msg_id(question, post),
        }
        try:
            answer = await self._write("chat.postMessage", post, arguments, growing=growing, patient=patient)
        except SlackRefusedError as error:
            if error.error != "duplicate_message_not_found":
                raise
            # Someone deleted what we had posted with these very words; this is a new message.
            del arguments["client_msg_id"]
            answer = await self._write("chat.postMessage", post, arguments, growing=growing, patient=patient)
        return str(answer["ts"])

    async def update(self, ts: str, question: Question, post: Post, *, growing: bool = False) -> None:
        """Make the message at `ts` show this; a stream is stopped for it."""
        arguments = {"channel": question.channel, "ts": ts, "metadata": metadata(question, post.part)}
        try:
            await self._write("chat.update", post, arguments, growing=growing)
        except SlackRefusedError as error:
            if error.error != "streaming_state_conflict":
                raise
            await self.stop_stream(ts, question)
            await self._write("chat.update", post, arguments, growing=growing)

    async def stop_stream(self, ts: str, question: Question) -> None:
        """Turn a stream into an ordinary message, which can be edited."""
        try:
            await self._calls.call("chat.stopStream", channel=question.channel, ts=ts, metadata=metadata(question, 0))
        except SlackRefusedError as error:
            if error.error in GONE:
                raise
            if error.error not in NOT_STREAMING:
                log.info("a stream could not be stopped", error=error.error)

    async def _write(self, method: str, post: Post, arguments: dict[str, Any], **how: bool) -> dict[str, Any]:
        """Post or update, in Slack's older markup where it does not take our blocks."""
        try:
            return await self._calls.call(method, text=post.notice, blocks=post.blocks, **arguments, **how)
        except SlackRefusedError as error:
            if error.error not in BLOCKS_REFUSED:
                raise
            log.info("Slack did not take Markdown blocks: mrkdwn instead", error=error.error)
        return await self._calls.call(method, text=post.notice, blocks=post.plain_blocks, **arguments, **how)

    async def own(self, question: Question) -> list[dict[str, Any]]:
        """Our messages in the question's thread since it was asked, the oldest first."""
        me = await self._whoami.identity()
        own: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            answer = await self._calls.call(
                "conversations.replies",
                channel=question.channel,
                ts=question.thread,
                oldest=question.message_id,
                include_all_metadata=1,
                limit=200,
                cursor=cursor,
            )
            # Slack gives the thread's first message with each page, however old it is.
            ours = (one for one in answer["messages"] if one.get("bot_id") == me.bot_id)
            own += [one for one in ours if float(one["ts"]) > float(question.message_id)]
            cursor = (answer.get("response_metadata") or {}).get("next_cursor") or None
            if cursor is None:
                return own


def metadata(question: Question, part: int) -> dict[str, Any]:
    """What marks a message as a part of the question's answer."""
    return {"event_type": METADATA_TYPE, "event_payload": {"question": question.id, "part": part}}


def payload_of(message: dict[str, Any]) -> dict[str, Any] | None:
    """What we wrote into a message's metadata; None where it has none."""
    metadata = message.get("metadata")
    return metadata.get("event_payload") or {} if isinstance(metadata, dict) else None


def _client_msg_id(question: Question, post: Post) -> str:
    """The same for the same words, which Slack may or may not take for one message; nothing relies on it."""
    digest = hashlib.sha256(post.markdown.encode("utf-8", "surrogatepass")).hexdigest()
    return str(uuid.uuid5(NAMESPACE, f"{question.id}:{post.part}:{digest}"))
