"""What has been shown of each answer, in Redis: for chats that cannot be asked about it afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from bot.lock import AccountLock
from bot.redis_link import patient_client
from config.redis_address import RedisAddress
from contract import names

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Record = TypeVar("Record", bound="DataclassInstance")


class AnswerRecords(Generic[Record]):
    """The records of one bot, each a dataclass of plain values that all have defaults.

    `key_of` names an answer's key by its question's id. Waits for Redis. Writing raises LockLostError in a process that
    was replaced.
    """

    def __init__(self, redis_address: RedisAddress, record: type[Record], key_of: Callable[[str], str]) -> None:
        self._redis = patient_client(redis_address)
        self._record = record
        self._key_of = key_of
        self._lock: AccountLock | None = None

    def hold(self, lock: AccountLock) -> None:
        """Write through this lock from now on."""
        self._lock = lock

    async def load(self, question_id: str) -> Record:
        """What was written last; a new record where nothing was."""
        value: Any = await self._redis.get(self._key_of(question_id))
        return read_record(self._record, value) if value else self._record()

    async def begin(self, question_id: str, record: Record) -> Record:
        """Write the first record down, unless there is one; which is the one that holds. One way to Redis and back."""
        async with self._redis.pipeline() as step:
            step.set(self._key_of(question_id), _written(record), ex=names.DELIVERY_TTL_S, nx=True, get=True)
            (before,) = await self._held.execute(step)
        return read_record(self._record, before) if before else record

    async def write(self, question_id: str, record: Record) -> Record:
        """Write it down; when this returns, a crash does not lose it."""
        async with self._redis.pipeline() as step:
            step.set(self._key_of(question_id), _written(record), ex=names.DELIVERY_TTL_S)
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


def read_record(record: type[Record], value: str) -> Record:
    """What stands in Redis; what a newer program added to it is not looked at."""
    known = {field.name for field in fields(record)}
    return record(**{name: part for name, part in json.loads(value).items() if name in known})


def _written(record: DataclassInstance) -> str:
    return json.dumps(asdict(record))
