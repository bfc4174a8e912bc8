"""How far the delivery of a question's answer is: written down before each step that cannot be undone.

It stands in the hash `names.delivery_key`, beside the field `outcome` that the contract's scripts write.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from redis.asyncio import Redis
from redis.typing import EncodableT, FieldT

from bot.history import History
from bot.lock import AccountLock
from contract import names
from contract.answer import FinalAnswer
from contract.question import Question


class SendStage(StrEnum):
    """Where the one message of a question is on its way into the chat."""

    PLANNED = "planned"  # nothing is shown
    SENDING = "sending"  # a send has begun; found after a crash, it means the same as ambiguous
    AMBIGUOUS = "ambiguous"  # a send broke: it may be shown, or not
    SENT = "sent"  # shown; `sent_id` names it
    DONE = "done"  # the end is shown
    REFUSED = "refused"  # the platform does not want it


@dataclass(frozen=True, slots=True)
class SendState:
    """One question's delivery. `shown` is the outcome that the chat shows as its end, empty before.

    `replaced_id` is a message of ours that could not be edited any more; `sending_at_s` is since the epoch.
    """

    stage: SendStage = SendStage.PLANNED
    sent_id: str = ""
    replaced_id: str = ""
    sending_at_s: float = 0.0
    shown: str = ""

    @classmethod
    def from_fields(cls, fields: dict[str, str]) -> SendState:
        """Read it from the hash; an empty one is a delivery that has not begun."""
        return cls(
            stage=_stage(fields.get("state") or SendStage.PLANNED),
            sent_id=fields.get("sent_id", ""),
            replaced_id=fields.get("replaced_id", ""),
            sending_at_s=float(fields.get("sending_at_s") or 0),
            shown=fields.get("shown", ""),
        )

    def to_fields(self) -> dict[FieldT, EncodableT]:
        """The fields of the hash."""
        return {
            "state": self.stage.value,
            "sent_id": self.sent_id,
            "replaced_id": self.replaced_id,
            "sending_at_s": repr(self.sending_at_s),
            "shown": self.shown,
        }


def _stage(word: str) -> SendStage:
    """The stage; one that only a newer program knows is one of which nothing is known, so that the chat is asked."""
    return SendStage(word) if word in set(SendStage) else SendStage.AMBIGUOUS


class SendStates:
    """The states of one platform's questions, in Redis. `redis` has to be a client that waits for it.

    They are written through the lock: a process that was replaced changes none. Writing raises LockLostError then.
    """

    def __init__(
        self,
        redis: Redis,
        lock: AccountLock,
        platform: str,
        history: History | None = None,
        group: str = names.DELIVERY_GROUP,
    ) -> None:
        self._redis = redis
        self._lock = lock
        self._history = history
        self._platform = platform
        self._group = group

    async def load(self, question_id: str) -> SendState:
        """What was written last."""
        fields: Any = await self._redis.hgetall(names.delivery_key(question_id))
        return SendState.from_fields(fields)

    async def write(self, question_id: str, state: SendState) -> None:
        """Write the state down; when this returns, a crash does not lose it."""
        key = names.delivery_key(question_id)
        async with self._redis.pipeline() as step:
            step.hset(key, mapping=state.to_fields())
            step.expire(key, names.DELIVERY_TTL_S)
            await self._lock.execute(step)

    async def close(self, question: Question, state: SendState, entry_id: str, seen: FinalAnswer | None) -> None:
        """In one step: the end is shown, its entry leaves the stream, the question is no longer open.

        `seen` is the end that the chat has seen now for the first time.
        """
        key, stream = names.delivery_key(question.id), names.answers_stream(self._platform)
        async with self._redis.pipeline() as step:
            step.hset(key, mapping=state.to_fields())
            step.expire(key, names.DELIVERY_TTL_S)
            step.zrem(names.open_key(self._platform), question.id)
            step.xack(stream, self._group, entry_id)
            step.xdel(stream, entry_id)
            if seen is not None and self._history is not None:
                self._history.add(step, question, seen)
            await self._lock.execute(step)
