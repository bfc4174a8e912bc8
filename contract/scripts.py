"""What has to happen in Redis in one step, as Lua: accepting a question, ending it, taking it back.

Each is sent whole with EVAL: a server that was restarted has forgotten what was loaded before, and inside a
transaction there is no second try. The functions below build the arguments, so that both sides agree on them.

A thread's questions are answered in order: `thread_key` names the one that is queued or executing, and the later
ones wait in `waiting_key` (and, for RQ's tools, in its registry of deferred jobs). Ending a question lets the next
one of its thread go.
"""

from __future__ import annotations

from collections.abc import Mapping

from contract import names
from contract.answer import FinalAnswer
from contract.question import Question
from contract.turn import Turn

# A head whose job is gone or over (`rq empty`, `rq requeue`) must not hold up its thread for ever.
_FUNCTIONS = """
local function is_alive(id)
  local status = redis.call('HGET', 'rq:job:' .. id, 'status')
  return status == 'queued' or status == 'started' or status == 'scheduled'
end

local function let_next_go(id, thread, waiting, queue, deferred, threads, conversation)
  local head = redis.call('GET', thread)
  if head and head ~= id and is_alive(head) then return end
  while true do
    local popped = redis.call('ZPOPMIN', waiting)
    if #popped == 0 then
      redis.call('DEL', thread)
      redis.call('SREM', threads, conversation)
      return
    end
    local next_id = popped[1]
    redis.call('ZREM', deferred, next_id)
    if redis.call('EXISTS', 'rq:job:' .. next_id) == 1 then
      redis.call('SET', thread, next_id)
      redis.call('HSET', 'rq:job:' .. next_id, 'status', 'queued')
      redis.call('RPUSH', queue, next_id)
      return
    end
  end
end

-- The one place where a question gets its end. A failed one may still be answered, after `rq requeue`.
local function tell(delivery, answers, outcome, final, ttl)
  local before = redis.call('HGET', delivery, 'outcome')
  if before and not (before == 'failed' and outcome ~= 'failed') then return 0 end
  redis.call('HSET', delivery, 'outcome', outcome)
  redis.call('EXPIRE', delivery, ttl)
  redis.call('XADD', answers, '*', 'final', final)
  return 1
end
"""

ACCEPT = (
    _FUNCTIONS
    + """
local question, job, queue, queues, thread, waiting, deferred, threads, open, delivery, answers = unpack(KEYS)
local id, wire, dedupe_ttl, max_queued, asked_at, accepted_at, conversation, busy, delivery_ttl = unpack(ARGV)
if redis.call('EXISTS', question) == 1 then return {'duplicate', 0} end
redis.call('SET', question, wire, 'EX', dedupe_ttl)
redis.call('ZADD', open, accepted_at, id)
local before = redis.call('LLEN', queue) + redis.call('ZCARD', deferred)
if before >= tonumber(max_queued) then
  tell(delivery, answers, 'busy', busy, delivery_ttl)
  return {'busy', before}
end
redis.call('HSET', job, unpack(ARGV, 10))
redis.call('SADD', queues, queue)
local head = redis.call('GET', thread)
if head and is_alive(head) then
  redis.call('HSET', job, 'status', 'deferred')
  redis.call('ZADD', waiting, asked_at, id)
  redis.call('ZADD', deferred, '+inf', id)
  redis.call('SADD', threads, conversation)
  return {'waiting', before}
end
redis.call('SET', thread, id)
redis.call('HSET', job, 'status', 'queued')
redis.call('RPUSH', queue, id)
return {'queued', before}
"""
)

SAY = (
    _FUNCTIONS
    + """
local question, open, delivery, answers = unpack(KEYS)
local id, wire, dedupe_ttl, accepted_at, outcome, final, delivery_ttl = unpack(ARGV)
if redis.call('EXISTS', question) == 1 then return 0 end
redis.call('SET', question, wire, 'EX', dedupe_ttl)
redis.call('ZADD', open, accepted_at, id)
return tell(delivery, answers, outcome, final, delivery_ttl)
"""
)

FINISH = (
    _FUNCTIONS
    + """
local delivery, answers, turns, thread, waiting, queue, deferred, threads, forgotten = unpack(KEYS)
local id, outcome, final, turn, turns_kept, turns_ttl, conversation, delivery_ttl, max_tokens, asked_at = unpack(ARGV)

-- As many of the newest turns as have max_tokens together, and the newest one however long it is.
local function remember()
  redis.call('RPUSH', turns, turn)
  local all = redis.call('LRANGE', turns, -tonumber(turns_kept), -1)
  local kept, tokens = 0, 0
  for at = #all, 1, -1 do
    local read, one = pcall(cjson.decode, all[at])
    tokens = tokens + (read and type(one) == 'table' and tonumber(one.tokens) or 0)
    if kept > 0 and tokens > tonumber(max_tokens) then break end
    kept = kept + 1
  end
  redis.call('LTRIM', turns, -kept, -1)
  redis.call('EXPIRE', turns, turns_ttl)
end

local told = tell(delivery, answers, outcome, final, delivery_ttl)
local since = tonumber(redis.call('GET', forgotten) or '0')
if told == 1 and turn ~= '' and tonumber(asked_at) > since then remember() end
let_next_go(id, thread, waiting, queue, deferred, threads, conversation)
return told
"""
)

TAKE_BACK = (
    _FUNCTIONS
    + """
local delivery, answers, thread, waiting, queue, deferred, threads, job, canceled = unpack(KEYS)
local id, outcome, final, conversation, delivery_ttl = unpack(ARGV)
local was_queued = redis.call('LREM', queue, 0, id) + redis.call('ZREM', waiting, id)
redis.call('ZREM', deferred, id)
local status, worker = unpack(redis.call('HMGET', job, 'status', 'worker_name'))
-- Begun by a worker that is gone, and nobody has come to take its questions over.
local has_worker = not worker or worker == '' or redis.call('EXISTS', 'rq:worker:' .. worker) == 1
local is_forsaken = status == 'started' and not has_worker
if was_queued == 0 and is_alive(id) and not is_forsaken then return 0 end
if status == 'queued' or status == 'deferred' or is_forsaken then
  redis.call('HSET', job, 'status', 'canceled')
  redis.call('EXPIRE', job, 3600)
  redis.call('ZADD', canceled, '+inf', id)
end
local told = tell(delivery, answers, outcome, final, delivery_ttl)
let_next_go(id, thread, waiting, queue, deferred, threads, conversation)
return told
"""
)

AMEND = """
local question, delivery, job = unpack(KEYS)
local id, wire, data = unpack(ARGV)
if redis.call('EXISTS', question) == 0 then return 'unknown' end
if redis.call('HEXISTS', delivery, 'outcome') == 1 or redis.call('EXISTS', job) == 0 then return 'ended' end
redis.call('SET', question, wire, 'KEEPTTL')
redis.call('HSET', job, 'data', data)
if redis.call('HGET', job, 'status') ~= 'started' then return 'amended' end
local command = cjson.encode({command = 'hand-back', job_id = id})
redis.call('PUBLISH', 'rq:pubsub:' .. redis.call('HGET', job, 'worker_name'), command)
return 'begun anew'
"""

STOP = """
if redis.call('HGET', KEYS[1], 'status') ~= 'started' then return 0 end
local command = cjson.encode({command = 'stop-job', job_id = ARGV[1]})
redis.call('PUBLISH', 'rq:pubsub:' .. redis.call('HGET', KEYS[1], 'worker_name'), command)
return 1
"""

WITHDRAW = """
local delivery, answers, turns = unpack(KEYS)
local id, final, ttl = unpack(ARGV)
local outcome = redis.call('HGET', delivery, 'outcome')
if not outcome or outcome == 'withdrawn' then return 0 end
redis.call('HSET', delivery, 'outcome', 'withdrawn')
redis.call('EXPIRE', delivery, ttl)
redis.call('XADD', answers, '*', 'final', final)
for _, turn in ipairs(redis.call('LRANGE', turns, 0, -1)) do
  local read, one = pcall(cjson.decode, turn)
  if read and type(one) == 'table' and one.question_id == id then redis.call('LREM', turns, 1, turn) end
end
return 1
"""

FORGET = """
local turns, forgotten = unpack(KEYS)
redis.call('SET', forgotten, ARGV[1], 'EX', ARGV[2])
return redis.call('DEL', turns)
"""

UNBLOCK = (
    _FUNCTIONS
    + """
local thread, waiting, queue, deferred, threads = unpack(KEYS)
let_next_go('', thread, waiting, queue, deferred, threads, ARGV[1])
return 1
"""
)

ScriptCall = tuple[str, int, list[str | bytes]]
"""What EVAL wants: the script, how many keys, the keys and then the arguments."""


def _call(script: str, keys: list[str], arguments: list[object]) -> ScriptCall:
    return script, len(keys), [*keys, *(one if isinstance(one, bytes) else str(one) for one in arguments)]


def accept(question: Question, job_fields: Mapping[str, object], max_queued: int, busy: FinalAnswer) -> ScriptCall:
    """Store the question, recognise it later, and queue its job: all of it or nothing.

    EVAL gives ``[what, before]``: what is ``queued``, ``waiting`` (behind another of its thread), ``duplicate``
    or ``busy`` (the queue is full, and `busy` has become its answer); before is how many wait already.
    """
    conversation = question.conversation
    keys = [
        names.question_key(question.id),
        names.job_key(question.id),
        names.QUEUE_KEY,
        names.QUEUES_KEY,
        names.thread_key(conversation),
        names.waiting_key(conversation),
        names.DEFERRED_KEY,
        names.threads_key(),
        names.open_key(question.platform),
        names.delivery_key(question.id),
        names.answers_stream(question.platform),
    ]
    arguments: list[object] = [
        question.id,
        question.to_wire(),
        names.DEDUPE_TTL_S,
        max_queued,
        question.asked_at_s,
        question.accepted_at_s,
        conversation,
        busy.to_wire(),
        names.DELIVERY_TTL_S,
    ]
    return _call(ACCEPT, keys, arguments + [part for pair in job_fields.items() for part in pair])


def say(question: Question, final: FinalAnswer) -> ScriptCall:
    """Answer without asking anybody, once for each event: too long, over the limit. EVAL gives 1, or 0 if known."""
    keys = [
        names.question_key(question.id),
        names.open_key(question.platform),
        names.delivery_key(question.id),
        names.answers_stream(question.platform),
    ]
    arguments: list[object] = [
        question.id,
        question.to_wire(),
        names.DEDUPE_TTL_S,
        question.accepted_at_s,
        final.outcome.value,
        final.to_wire(),
        names.DELIVERY_TTL_S,
    ]
    return _call(SAY, keys, arguments)


def finish(
    question: Question,
    final: FinalAnswer,
    turn: Turn | None,
    turns_ttl_s: float,
    max_turns_tokens: int = names.MAX_TURNS_TOKENS,
) -> ScriptCall:
    """End a question and let the next one of its thread go. EVAL gives 1, or 0 where it had its end already."""
    conversation = question.conversation
    keys = [
        names.delivery_key(question.id),
        names.answers_stream(question.platform),
        names.turns_key(conversation),
        names.thread_key(conversation),
        names.waiting_key(conversation),
        names.QUEUE_KEY,
        names.DEFERRED_KEY,
        names.threads_key(),
        names.forgotten_key(conversation),
    ]
    arguments: list[object] = [
        question.id,
        final.outcome.value,
        final.to_wire(),
        turn.to_wire() if turn else "",
        names.MAX_TURNS_KEPT,
        max(1, int(turns_ttl_s)),
        conversation,
        names.DELIVERY_TTL_S,
        max_turns_tokens,
        question.accepted_at_s,
    ]
    return _call(FINISH, keys, arguments)


def take_back(question: Question, final: FinalAnswer) -> ScriptCall:
    """End a question that no worker has begun, or whose job is gone or over. EVAL gives 0 where a worker has it."""
    conversation = question.conversation
    keys = [
        names.delivery_key(question.id),
        names.answers_stream(question.platform),
        names.thread_key(conversation),
        names.waiting_key(conversation),
        names.QUEUE_KEY,
        names.DEFERRED_KEY,
        names.threads_key(),
        names.job_key(question.id),
        names.CANCELED_KEY,
    ]
    arguments: list[object] = [
        question.id,
        final.outcome.value,
        final.to_wire(),
        conversation,
        names.DELIVERY_TTL_S,
    ]
    return _call(TAKE_BACK, keys, arguments)


def amend(question: Question, job_data: str) -> ScriptCall:
    """Put the question's new text in place; a worker that has begun with the old one begins anew.

    EVAL gives ``unknown``, ``ended``, ``amended`` or ``begun anew``.
    """
    keys = [names.question_key(question.id), names.delivery_key(question.id), names.job_key(question.id)]
    return _call(AMEND, keys, [question.id, question.to_wire(), job_data])


def stop(question_id: str) -> ScriptCall:
    """Tell the worker that has the question to stop; EVAL gives 0 where none has."""
    return _call(STOP, [names.job_key(question_id)], [question_id])


def withdraw(question: Question, final: FinalAnswer) -> ScriptCall:
    """Take the answer to an ended question away, and forget its turn. EVAL gives 0 where there is none (any more)."""
    keys = [
        names.delivery_key(question.id),
        names.answers_stream(question.platform),
        names.turns_key(question.conversation),
    ]
    return _call(WITHDRAW, keys, [question.id, final.to_wire(), names.DELIVERY_TTL_S])


def forget(conversation: str, now_s: float, turns_ttl_s: float) -> ScriptCall:
    """Forget a thread's turns, and those of the questions that are still open. EVAL gives 1 where there were any."""
    keys = [names.turns_key(conversation), names.forgotten_key(conversation)]
    return _call(FORGET, keys, [now_s, max(1, int(turns_ttl_s))])


def unblock(conversation: str) -> ScriptCall:
    """Let a thread go on whose head is gone; does nothing where the head is alive."""
    keys = [
        names.thread_key(conversation),
        names.waiting_key(conversation),
        names.QUEUE_KEY,
        names.DEFERRED_KEY,
        names.threads_key(),
    ]
    return _call(UNBLOCK, keys, [conversation])
