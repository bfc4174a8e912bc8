"""Shows replies in Slack: streamed while they grow where Slack lets us, edited in place else; each once."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import structlog

from bot.platform import Reply, SendAmbiguousError, SendLaterError, TooLateToEditError
from bot.platforms.slack.calls import SlackCalls, SlackRefusedError
from bot.platforms.slack.identity import Whoami
from bot.platforms.slack.messages import GONE, NOT_STREAMING, Messages, metadata, payload_of
from bot.platforms.slack.posts import Post, growing_post, posts
from bot.remembered import Remembered
from contract.answer import Outcome
from contract.question import Question

ROTATE_AFTER_S = 230.0
"""Slack ends a stream some five minutes after its start without a word; by then it has to be an ordinary message."""
AT_THE_NEXT_STEP_S = 0.0
"""Come again when the growing answer is shown next."""

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
        self._messages = Messages(calls, whoami)
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
                await self._messages.update(ts, reply.question, growing_post(reply), growing=True)
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
        for message in await self._messages.own(question):
            payload = payload_of(message)
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
            await self._messages.update(ts, reply.question, post, growing=True)

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
        await self._messages.stop_stream(ts, question)
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
        await self._messages.update(ts, reply.question, first)
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
                "chat.stopStream", channel=question.channel, ts=ts, metadata=metadata(question, 0), **ending
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
        for message in await self._messages.own(question):
            payload = payload_of(message)
            if payload and payload.get("question") == question.id:
                there[payload.get("part")] = str(message["ts"])
        for post in rest:
            try:
                if post.part in there:
                    await self._messages.update(there[post.part], question, post)
                else:
                    await self._post(question, post, patient=True)
            except SendAmbiguousError:
                # Next time it is looked up; by then it has to be there, if it was taken.
                await asyncio.sleep(self._settle_s)
                raise

    async def _delete_rest(self, question: Question) -> None:
        """Take the further messages of a long answer away."""
        for message in await self._messages.own(question):
            payload = payload_of(message)
            if payload and payload.get("question") == question.id and payload.get("part"):
                try:
                    await self._calls.call("chat.delete", channel=question.channel, ts=str(message["ts"]))
                except SlackRefusedError as error:
                    if error.error not in GONE:
                        raise

    async def _post(self, question: Question, post: Post, *, growing: bool = False, patient: bool = False) -> str:
        ts = await self._messages.post(question, post, growing=growing, patient=patient)
        self._shown[ts] = Shown(is_stream=False)
        return ts


def _chunk(text: str) -> dict[str, str]:
    return {"type": "markdown_text", "text": text}
