"""Admission: whether a message may be taken in now, as far as only Redis knows it. One script, in one round trip.

It tells whether the event is known, whether its thread is ours, what admins have set in the channel, and what the
person, the group and everybody together have left: token buckets that all bot processes share. A bucket holds
`*_questions` at most and gets as many back in each `window_s`, evenly (a token bucket as in RFC 2697, counted in
questions). Time is the server's, so that the clocks of the processes do not matter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis

from bot.access import place_of
from bot.chat_message import ChatMessage
from config.sections import LimitsSettings
from contract import names

ADMITTED_TTL_S = 60
"""A twin of an event, or one that Redis did not take in at once, comes again within this time."""
_ADMIT = """
local question, turns, thread, last, channel, admitted, notice, bot_turns, person, group, overall = unpack(KEYS)
local id, in_doubt, is_free, is_bot, max_bot_turns, bot_window, window, admitted_ttl = unpack(ARGV)
local known, ours = redis.call('EXISTS', question), redis.call('EXISTS', turns, thread, last)
local set = redis.call('HGETALL', channel)
local own = {}
for at = 1, #set, 2 do own[set[at]] = set[at + 1] end
local function let(short, wait, tells) return {known, ours, set, short or '', wait or 0, tells or 0} end
if known == 1 or (in_doubt == '1' and ours == 0) or own.paused == '1' then return let() end
-- The same event again, before the first one is in the queue: it has paid.
if redis.call('EXISTS', admitted) == 1 then return let() end

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
window, bot_window = tonumber(window), tonumber(bot_window)

if is_bot == '1' then
  redis.call('ZREMRANGEBYSCORE', bot_turns, '-inf', now - bot_window)
  if redis.call('ZCARD', bot_turns) >= tonumber(max_bot_turns) then return let('bot') end
  redis.call('ZADD', bot_turns, now, id)
  redis.call('PEXPIRE', bot_turns, bot_window)
end
local buckets = {
  {'person', person, tonumber(own.person_questions or ARGV[9])},
  {'group', group, tonumber(own.group_questions or ARGV[10])},
  {'overall', overall, tonumber(ARGV[11])},
}
local left, short, wait = {}, '', 0
for at, bucket in ipairs(buckets) do
  local size = bucket[3]
  if size > 0 and is_free == '0' then
    local tokens, since = unpack(redis.call('HMGET', bucket[2], 'tokens', 'at_ms'))
    tokens = math.min(size, (tonumber(tokens) or size) + math.max(0, now - (tonumber(since) or now)) * size / window)
    left[at] = tokens
    if tokens < 1 and short == '' then short, wait = bucket[1], math.ceil((1 - tokens) * window / size) end
  end
end
if short ~= '' then
  -- Told once in a window; the same event again is told again, as the first time may not have been shown.
  local first = redis.call('SET', notice, id, 'NX', 'PX', window)
  return let(short, wait, (first or redis.call('GET', notice) == id) and 1 or 0)
end
for at, bucket in ipairs(buckets) do
  if left[at] then
    redis.call('HSET', bucket[2], 'tokens', tostring(left[at] - 1), 'at_ms', now)
    redis.call('PEXPIRE', bucket[2], window)
  end
end
-- Nothing is written where nothing was charged: a write waits for the disk.
if next(left) or is_bot == '1' then redis.call('SET', admitted, '1', 'EX', admitted_ttl) end
return let()
"""


@dataclass(frozen=True, slots=True)
class Admission:
    """What Redis says of a message. `short` names the limit that is reached: person, group, overall or bot.

    `wait_s` is when there is room again; `tells` says whether the person has not been told of it in this window.
    `own` is what admins have set in the channel.
    """

    is_known: bool = False
    thread_is_ours: bool = False
    own: dict[str, str] = field(default_factory=dict)
    short: str = ""
    wait_s: float = 0.0
    tells: bool = False

    @property
    def is_paused(self) -> bool:
        """Whether an admin has paused the bot in the channel."""
        return self.own.get("paused") == "1"


class Admissions:
    """Asks Redis. `redis` waits for it (`patient_client`)."""

    def __init__(self, redis: Redis, limits: LimitsSettings) -> None:
        self._redis = redis
        self._limits = limits

    async def ask(self, message: ChatMessage, question_id: str, *, in_doubt: bool, is_free: bool) -> Admission:
        """Whether it may be taken in, and take a token where it may.

        `in_doubt`: it is for us only if its thread is ours. `is_free`: no limit holds it. Raises RedisError.
        """
        limits, place = self._limits, place_of(message)
        conversation = f"{place}:{message.thread}"
        keys = [
            names.question_key(question_id),
            names.turns_key(conversation),
            names.thread_key(conversation),
            names.last_shown_key(conversation),
            names.channel_key(place),
            names.admitted_key(question_id),
            names.notice_key(place, message.sender),
            names.bot_turns_key(place, message.sender),
            names.bucket_key("person", f"{place}:{message.sender}"),
            names.bucket_key("group", place),
            names.bucket_key("overall"),
        ]
        arguments = [
            question_id,
            int(in_doubt),
            int(is_free),
            int(message.from_bot),
            limits.bot_turns,
            int(1000 * limits.bot_window_s),
            max(1, int(1000 * limits.window_s)),
            ADMITTED_TTL_S,
            limits.person_questions,
            limits.group_questions,
            limits.overall_questions,
        ]
        answer: Any = await self._redis.eval(_ADMIT, len(keys), *keys, *map(str, arguments))
        known, ours, flat, short, wait_ms, tells = answer
        own = dict(zip(flat[::2], flat[1::2], strict=True))
        return Admission(bool(known), bool(ours), own, short, wait_ms / 1000, bool(tells))
