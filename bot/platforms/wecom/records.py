"""What has been shown of each answer, in Redis, written before each step that WeCom cannot be asked about.

WeCom gives no way to look back into a chat and no idempotency key, except that a stream's id names the same message
as long as the stream is open. So what this process is about to do must outlive it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from bot.answer_records import AnswerRecords
from config.redis_address import RedisAddress
from contract import names


@dataclass(frozen=True, slots=True)
class Record:
    """One answer on its way into the chat. Times are seconds since the epoch.

    `started_at_s`: before the stream was sent for the first time; 0: it never was.
    `closed`: the stream takes no text any more. `kept`: what it then shows and the end goes on from.
    `plan`: the digest of the end that is being shown, empty before. `in_stream`: its first part goes into the stream.
    `done`: its parts that are shown for sure. `tries`: sends of the next part that WeCom did not confirm.
    """

    started_at_s: float = 0.0
    closed: bool = False
    kept: str = ""
    plan: str = ""
    in_stream: bool = False
    done: int = 0
    tries: int = 0

    def planned(self, whole: str, *, stream_takes_more: bool) -> Record:
        """The record with the plan for this end; unchanged where it is the plan already."""
        digest = hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()
        if self.plan == digest:
            return self
        # An end that was shown before (a failure that was then answered) has closed the stream.
        closed = self.closed or (bool(self.plan) and self.in_stream and self.done > 0)
        kept = "" if self.plan else self.kept
        in_stream = not closed and stream_takes_more
        return replace(self, plan=digest, closed=closed, kept=kept, in_stream=in_stream, done=0, tries=0)

    def part_shown(self) -> Record:
        """The next part is shown for sure."""
        return replace(self, done=self.done + 1, tries=0, closed=self.closed or self.in_stream)

    def without_stream(self, *, in_doubt: bool) -> Record:
        """The stream takes no more; the end has to come in new messages. `in_doubt`: it may be in the stream."""
        return replace(self, closed=True, in_stream=False, done=0, tries=int(in_doubt))


class Records(AnswerRecords[Record]):
    """The records of one bot."""

    def __init__(self, redis_address: RedisAddress) -> None:
        super().__init__(redis_address, Record, names.wecom_answer_key)
