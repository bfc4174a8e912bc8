"""What has to happen in Redis in one step, as Lua; `scripts.py` says what each is given, and in which order.

Each is sent whole with EVAL: a server that was restarted has forgotten what was loaded before, and inside a
transaction there is no second try.

A thread's questions are answered in order: `names.thread_key` names the one that is queued or executing, and the later
ones wait in `names.waiting_key` (and, for RQ's tools, in its registry of deferred jobs). Ending a question lets the
next one of its thread go.
"""

from __future__ import annotations

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
