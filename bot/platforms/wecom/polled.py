"""What WeCom gets to see when it polls for a stream in callback mode: kept in Redis, changed in one step each time.

Whichever process a poll reaches answers it from here; between two polls nothing is remembered anywhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redis.typing import EncodableT, FieldT

from bot.redis_link import patient_client
from config.redis_address import RedisAddress
from contract import names
from contract.question import Question

_GROW = """
if redis.call('HEXISTS', KEYS[1], 'plan') == 0 and redis.call('HEXISTS', KEYS[1], 'kept') == 0 then
  redis.call('HSET', KEYS[1], 'text', ARGV[1])
  redis.call('EXPIRE', KEYS[1], ARGV[2])
end
"""
# What was handed out with a finish stays what the stream shows; another end can only follow it.
_END = """
if redis.call('HEXISTS', KEYS[1], 'kept') == 0 and redis.call('HEXISTS', KEYS[1], 'handed') == 0 then
  redis.call('HSET', KEYS[1], 'text', ARGV[1], 'plan', ARGV[2])
  redis.call('EXPIRE', KEYS[1], ARGV[3])
end
return redis.call('HGETALL', KEYS[1])
"""
_POLL = """
local text, plan, kept = unpack(redis.call('HMGET', KEYS[1], 'text', 'plan', 'kept'))
if kept then return {'kept', kept} end
if not text then return {'unknown', ''} end
if plan then
  redis.call('HSET', KEYS[1], 'handed', plan)
  return {'end', text}
end
if ARGV[1] == '1' then
  redis.call('HSET', KEYS[1], 'kept', text)
  return {'kept', text}
end
return {'open', text}
"""
_GIVE_UP = """
if redis.call('HEXISTS', KEYS[1], 'handed') == 0 then redis.call('HSETNX', KEYS[1], 'kept', '') end
return redis.call('HGETALL', KEYS[1])
"""


@dataclass(frozen=True, slots=True)
class Polled:
    """One stream. `kept`: it was finished with this text before its end, None where it was not.

    `handed`: the digest of the end that WeCom took with a finish. `url_tries`: uses of the response URL that nobody
    saw the end of; `url_done`: the digest of the end that it has shown. `opened`: a call was
    answered with it. `waited`: WeCom's rate held it up.
    """

    kept: str | None = None
    handed: str = ""
    url_tries: int = 0
    url_done: str = ""
    opened: bool = False
    waited: bool = False

    @classmethod
    def from_flat(cls, flat: list[str]) -> Polled:
        """Read it from HGETALL's answer."""
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        return cls(
            kept=fields.get("kept"),
            handed=fields.get("handed", ""),
            url_tries=int(fields.get("url_tries", 0)),
            url_done=fields.get("url_done", ""),
            opened="opened" in fields,
            waited="waited" in fields,
        )


class PolledStreams:
    """The streams of one bot. Waits for Redis."""

    def __init__(self, redis_address: RedisAddress) -> None:
        self._redis = patient_client(redis_address)

    async def question(self, question_id: str) -> Question | None:
        """The question if one of this id was taken in, or refused with a sentence; else nothing is to be waited for."""
        wire: Any = await self._redis.get(names.question_key(question_id))
        return Question.from_wire(wire) if wire else None

    async def open_none(self, question_id: str) -> None:
        """WeCom's rate has no room for a stream: whatever there is to show comes by the response URL."""
        await self.note(question_id, kept="", waited="1")

    async def grow(self, question_id: str, text: str) -> None:
        """Show this at the next poll, unless the stream has come to its end."""
        await self._eval(_GROW, question_id, text, str(names.DELIVERY_TTL_S))

    async def end(self, question_id: str, text: str, digest: str) -> Polled:
        """Show this at the next poll and finish the stream with it; gives what has become of the stream before."""
        return Polled.from_flat(await self._eval(_END, question_id, text, digest, str(names.DELIVERY_TTL_S)))

    async def poll(self, question_id: str, *, late: bool) -> tuple[str, str]:
        """What to answer a poll: ``open``, ``end``, ``kept`` (finished early, which `late` asks for) or ``unknown``."""
        what, text = await self._eval(_POLL, question_id, "1" if late else "0")
        return str(what), str(text)

    async def text(self, question_id: str) -> str:
        """What the stream shows at the next poll; empty before anything was laid out."""
        return str(await self._redis.hget(names.wecom_polled_key(question_id), "text") or "")

    async def give_up(self, question_id: str) -> Polled:
        """No poll comes any more; says whether one took the end at the last moment."""
        return Polled.from_flat(await self._eval(_GIVE_UP, question_id))

    async def note(self, question_id: str, **fields: str) -> None:
        """Write down what is about to happen, or did."""
        mapping: dict[FieldT, EncodableT] = dict(fields.items())
        async with self._redis.pipeline(transaction=True) as step:
            step.hset(names.wecom_polled_key(question_id), mapping=mapping)
            step.expire(names.wecom_polled_key(question_id), names.DELIVERY_TTL_S)
            await step.execute()

    async def load(self, question_id: str) -> Polled:
        """What is known of the stream."""
        fields: Any = await self._redis.hgetall(names.wecom_polled_key(question_id))
        return Polled.from_flat([part for pair in fields.items() for part in pair])

    async def close(self) -> None:
        """Give the connection back."""
        await self._redis.aclose()

    async def _eval(self, script: str, question_id: str, *arguments: str) -> Any:
        return await self._redis.eval(script, 1, names.wecom_polled_key(question_id), *arguments)
