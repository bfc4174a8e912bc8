"""What has been shown of each answer, in Redis, written before each step that WeCom cannot be asked about.

WeCom gives no way to look back into a chat and no idempotency key, except that a stream's id names the same message
as long as the stream is open. So what this process is about to do must outlive it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from bot.lock import AccountLock
from bot.redis_link import patient_client
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


class Records:
    """The records of one bot. Waits for Redis. Writing raises LockLostError in a process that was replaced."""

    def __init__(self, redis_address: RedisAddress) -> None:
        self._redis = patient_client(redis_address)
        self._lock: AccountLock | None = None

    def hold(self, lock: AccountLock) -> None:
        """Write through this lock from now on."""
        self._lock = lock

    async def load(self, question_id: str) -> Record:
        """What was written last; a new record where nothing was."""
        value: Any = await self._redis.get(names.wecom_answer_key(question_id))
        return read_record(value) if value else Record()

    async def begin(self, question_id: str, record: Record) -> Record:
        """Write the first record down, unless there is one; which is the one that holds. One way to Redis and back."""
        key, value = names.wecom_answer_key(question_id), json.dumps(asdict(record))
        async with self._redis.pipeline() as step:
            step.set(key, value, ex=names.DELIVERY_TTL_S, nx=True, get=True)
            (before,) = await self._held.execute(step)
        return read_record(before) if before else record

    async def write(self, question_id: str, record: Record) -> Record:
        """Write it down; when this returns, a crash does not lose it."""
        async with self._redis.pipeline() as step:
            step.set(names.wecom_answer_key(question_id), json.dumps(asdict(record)), ex=names.DELIVERY_TTL_S)
            await self._held.execute(step)
        return record

    @property
    def _held(self) -> AccountLock:
        if self._lock is None:
            raise RuntimeError("hold() first")
        return self._lock

    async def close(self) -> None:
        """Give the connection back."""
        await self._redis.aclose()


def read_record(value: str) -> Record:
    """What stands in Redis; what a newer program added to it is not looked at."""
    known = {field.name for field in fields(Record)}
    return Record(**{name: part for name, part in json.loads(value).items() if name in known})
