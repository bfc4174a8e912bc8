"""Shows replies in Slack: streamed while they grow where Slack lets us, edited in place else; each once."""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from dataclasses import dataclass
from typing import Any

import structlog

from bot.platform import Reply, SendAmbiguousError, SendLaterError, TooLateToEditError
from bot.platforms.slack.calls import SlackCalls, SlackRefusedError
from bot.platforms.slack.identity import Whoami
from bot.platforms.slack.posts import Post, growing_post, posts
from bot.remembered import Remembered
from contract.answer import Outcome
from contract.question import Question

METADATA_TYPE = "fennel_answer"
ROTATE_AFTER_S = 230.0
"""Slack ends a stream some five minutes after its start without a word; by then it has to be an ordinary message."""
AT_THE_NEXT_STEP_S = 0.0
"""Come again when the growing answer is shown next."""

GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", "message_not_owned_by_app"})
NOT_STREAMING = frozenset({"message_not_in_streaming_state", "stopped_by_user"})
NO_PLACE = frozenset(
    {
        "account_inactive",
        "channel_not_found",
        "invalid_auth",
        "is_archived",
        "not_authed",
        "not_in_channel",
        "thread_not_found",
        "token_revoked",
    }
)
"""Nothing can be said there, however it is said."""
BLOCKS_REFUSED = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long"})
NAMESPACE = uuid.UUID("5f1f4f0e-9b43-5c0c-9a39-0d0f6b8a7f11")

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Shown:
    """What this process knows of a message of ours: whether it is a stream still, and what was appended to it.

    A `doubtful` stream may say more or less than `text`. `started_s` is monotonic.
    """

    is_stream: bool
    text: str = ""
    started_s: float = 0.0
    doubtful: bool = False
    is_notice: bool = False


class Sender:
    """`send`, `edit` and `find` of the platform. The id of a reply is the ts of its first message.

    `rotate_after_s`: how long a stream may be one. `settle_s`: how long a broken post may take to show up.
    """

    def __init__(
        self,
        calls: SlackCalls,
        whoami: Whoami,
        *,
        rotate_after_s: float = ROTATE_AFTER_S,
        settle_s: float = 3.0,
    ) -> None:
        self._calls = calls
        self._whoami = whoami
        self._rotate_after_s = rotate_after_s
        self._settle_s = settle_s
        self._shown: Remembered[str, Shown] = Remembered()
        self._no_streams: set[str] = set()

    async def send(self, reply: Reply) -> str:
        """Show a new reply; see `Platform.send`."""
        if reply.outcome is not None:
            return await self._send_end(reply)
        post = growing_post(reply)
        if reply.is_notice:
            ts = await self._post(reply.question, post, growing=True)
            self._shown[ts].is_notice = True
            return ts
        if not post.markdown:
            raise SendLaterError("nothing to show yet", AT_THE_NEXT_STEP_S)
        if reply.question.channel not in self._no_streams:
            try:
                return await self._start_stream(reply.question, post)
            except SlackRefusedError as error:
                if error.error in NO_PLACE:
                    raise
                self._no_streams.add(reply.question.channel)
                log.info("no streams here: messages are edited", error=error.error)
        return await self._post(reply.question, post, growing=True)

    async def edit(self, ts: str, reply: Reply) -> None:
        """Make the message at `ts` show the reply; see `Platform.edit`."""
        # What another process began is known by its ts alone: it may be a stream, and may say anything.
        shown = self._shown.get(ts)
        if shown is None:
            shown = self._shown[ts] = Shown(is_stream=True, doubtful=True)
        try:
            if reply.outcome is not None:
                await self._end(ts, reply, shown)
                self._shown.pop(ts, None)
            elif not reply.is_notice:
                shown.is_notice = False
                await self._grow(ts, reply, shown)
            elif shown.is_notice:
                # What has begun to be an answer stays; one notice takes another's place.
                await self._update(ts, reply.question, growing_post(reply), growing=True)
        except SlackRefusedError as error:
            if error.error in GONE:
                raise TooLateToEditError(str(error)) from error
            raise

    async def find(self, question: Question) -> str | None:
        """The ts of our newest reply to the question; see `Platform.find`.

        A stream gets its metadata only when it is stopped: until then it is ours, in the thread, and has none. The
        questions of a thread are answered one after another, so it is this question's.
        """
        found = stream = None
        for message in await self._own_messages(question):
            payload = _payload(message)
            if payload is None:
                stream = str(message["ts"])
            elif payload.get("question") == question.id and payload.get("part") == 0:
                found = str(message["ts"])
        return found or stream

    # --- while it grows

    async def _start_stream(self, question: Question, post: Post) -> str:
        answer = await self._calls.call(
            "chat.startStream",
            growing=True,
            channel=question.channel,
            thread_ts=question.thread,
            recipient_team_id=question.address.get("team", question.tenant),
            recipient_user_id=question.asker,
            chunks=[_chunk(post.markdown)],
        )
        ts = str(answer["ts"])
        self._shown[ts] = Shown(is_stream=True, text=post.markdown, started_s=time.monotonic())
        return ts

    async def _grow(self, ts: str, reply: Reply, shown: Shown) -> None:
        post = growing_post(reply)
        if not post.markdown:
            return
        if shown.is_stream and not self._can_append(shown, post):
            # It says all of that already, or has become too old or too doubtful to go on.
            if not shown.doubtful and not self._is_old(shown) and shown.text.startswith(post.markdown):
                return
            await self._stop(ts, reply.question, shown)
        if shown.is_stream:
            await self._append(ts, reply.question, post, shown)
        if not shown.is_stream:
            await self._update(ts, reply.question, post, growing=True)

    def _can_append(self, shown: Shown, post: Post) -> bool:
        is_good = shown.is_stream and not shown.doubtful and not self._is_old(shown)
        return is_good and post.markdown.startswith(shown.text)

    def _is_old(self, shown: Shown) -> bool:
        return time.monotonic() - shown.started_s > self._rotate_after_s

    async def _append(self, ts: str, question: Question, post: Post, shown: Shown) -> None:
        more = post.markdown[len(shown.text) :]
        if not more:
            return
        try:
            await self._calls.call(
                "chat.appendStream", growing=True, channel=question.channel, ts=ts, chunks=[_chunk(more)]
            )
        except SendAmbiguousError:
            shown.doubtful = True
            raise
        except SlackRefusedError as error:
            if error.error == "stopped_by_user" or error.error in GONE:
                # Somebody has seen enough, or took it away: it grows no more, and its end is yet shown.
                shown.is_stream = False
                raise
            await self._stop(ts, question, shown)
            return
        shown.text = post.markdown

    async def _stop(self, ts: str, question: Question, shown: Shown) -> None:
        """Turn a stream into an ordinary message, which can be edited."""
        try:
            await self._calls.call("chat.stopStream", channel=question.channel, ts=ts, metadata=_metadata(question, 0))
        except SlackRefusedError as error:
            if error.error in GONE:
                raise
            if error.error not in NOT_STREAMING:
                log.info("a stream could not be stopped", error=error.error)
        shown.is_stream = False

    # --- its end

    async def _send_end(self, reply: Reply) -> str:
        first, *rest = posts(reply)
        ts = await self._post(reply.question, first)
        try:
            for post in rest:
                await self._post(reply.question, post, patient=True)
        except (SendLaterError, SlackRefusedError) as error:
            # Something is shown: what is missing comes when this is looked up and edited.
            raise SendAmbiguousError(f"only the beginning of an answer was posted: {error}") from error
        self._shown.pop(ts, None)
        return ts

    async def _end(self, ts: str, reply: Reply, shown: Shown) -> None:
        first, *rest = posts(reply)
        if self._can_append(shown, first) and not rest and await self._end_stream(ts, reply.question, first, shown):
            return
        if shown.is_stream:
            await self._stop(ts, reply.question, shown)
        await self._update(ts, reply.question, first)
        if rest:
            await self._bring_rest(reply.question, rest)
        elif reply.outcome is Outcome.WITHDRAWN:
            await self._delete_rest(reply.question)

    async def _end_stream(self, ts: str, question: Question, post: Post, shown: Shown) -> bool:
        """End a stream with the last of its text and what stands below it; False where it has to be edited instead."""
        more = post.markdown[len(shown.text) :]
        # Slack takes an empty list for none.
        ending: dict[str, Any] = {"chunks": [_chunk(more)] if more else None, "blocks": list(post.tail) or None}
        try:
            await self._calls.call(
                "chat.stopStream", channel=question.channel, ts=ts, metadata=_metadata(question, 0), **ending
            )
        except SendAmbiguousError:
            shown.doubtful = True
            raise
        except SlackRefusedError as error:
            if error.error in GONE:
                raise
            shown.is_stream = error.error not in NOT_STREAMING
            shown.doubtful = True
            return False
        return True

    async def _bring_rest(self, question: Question, rest: list[Post]) -> None:
        """Show the further messages of a long answer, whichever of them are there already."""
        there: dict[Any, str] = {}
        for message in await self._own_messages(question):
            payload = _payload(message)
            if payload and payload.get("question") == question.id:
                there[payload.get("part")] = str(message["ts"])
        for post in rest:
            try:
                if post.part in there:
                    await self._update(there[post.part], question, post)
                else:
                    await self._post(question, post, patient=True)
            except SendAmbiguousError:
                # Next time it is looked up; by then it has to be there, if it was taken.
                await asyncio.sleep(self._settle_s)
                raise

    async def _delete_rest(self, question: Question) -> None:
        """Take the further messages of a long answer away."""
        for message in await self._own_messages(question):
            payload = _payload(message)
            if payload and payload.get("question") == question.id and payload.get("part"):
                try:
                    await self._calls.call("chat.delete", channel=question.channel, ts=str(message["ts"]))
                except SlackRefusedError as error:
                    if error.error not in GONE:
                        raise

    # --- single messages

    async def _post(self, question: Question, post: Post, *, growing: bool = False, patient: bool = False) -> str:
        arguments: dict[str, Any] = {
            "channel": question.channel,
            "thread_ts": question.thread,
            "metadata": _metadata(question, post.part),
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
        ts = str(answer["ts"])
        self._shown[ts] = Shown(is_stream=False)
        return ts

    async def _update(self, ts: str, question: Question, post: Post, *, growing: bool = False) -> None:
        arguments = {"channel": question.channel, "ts": ts, "metadata": _metadata(question, post.part)}
        try:
            await self._write("chat.update", post, arguments, growing=growing)
        except SlackRefusedError as error:
            if error.error != "streaming_state_conflict":
                raise
            await self._stop(ts, question, Shown(is_stream=True))
            await self._write("chat.update", post, arguments, growing=growing)

    async def _write(self, method: str, post: Post, arguments: dict[str, Any], **how: bool) -> dict[str, Any]:
        """Post or update, in Slack's older markup where it does not take our blocks."""
        try:
            return await self._calls.call(method, text=post.notice, blocks=post.blocks, **arguments, **how)
        except SlackRefusedError as error:
            if error.error not in BLOCKS_REFUSED:
                raise
            log.info("Slack did not take Markdown blocks: mrkdwn instead", error=error.error)
        return await self._calls.call(method, text=post.notice, blocks=post.plain_blocks, **arguments, **how)

    async def _own_messages(self, question: Question) -> list[dict[str, Any]]:
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


def _chunk(text: str) -> dict[str, str]:
    return {"type": "markdown_text", "text": text}


def _metadata(question: Question, part: int) -> dict[str, Any]:
    return {"event_type": METADATA_TYPE, "event_payload": {"question": question.id, "part": part}}


def _payload(message: dict[str, Any]) -> dict[str, Any] | None:
    """What we wrote into a message's metadata; None where it has none."""
    metadata = message.get("metadata")
    return metadata.get("event_payload") or {} if isinstance(metadata, dict) else None


def _client_msg_id(question: Question, post: Post) -> str:
    """The same for the same words, which Slack may or may not take for one message; nothing relies on it."""
    digest = hashlib.sha256(post.markdown.encode("utf-8", "surrogatepass")).hexdigest()
    return str(uuid.uuid5(NAMESPACE, f"{question.id}:{post.part}:{digest}"))
