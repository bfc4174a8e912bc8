"""The lock that keeps a second bot away from an account: two would answer everything twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import socket
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import psutil
import structlog
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from contract import names
from contract.errors import FennelError

LEASE_S = 15.0
POLL_S = 0.2
MARGIN = 1 / 3
"""The share of the lease that has to be left where something is sent: it is renewed as often."""
LOST = "another bot has taken this account over"

_ACQUIRE = """
local lock, served = unpack(KEYS)
local value, lease_ms, account, token, dead, others = unpack(ARGV)
local other = redis.call('HGET', served, 'account')
local their_value = other and other ~= account and redis.call('GET', others .. other)
if their_value and their_value ~= dead then return {'other account', their_value} end
local holder = redis.call('GET', lock)
if holder and holder ~= value and holder ~= dead then return {'held', holder} end
redis.call('SET', lock, value, 'PX', lease_ms)
redis.call('HSET', served, 'account', account, 'token', token)
return {'ours', ''}
"""
_RENEW = """
local lock, served = unpack(KEYS)
local value, lease_ms, token = unpack(ARGV)
if redis.call('HGET', served, 'token') ~= token then return 0 end
local holder = redis.call('GET', lock)
if holder and holder ~= value then return 0 end
redis.call('SET', lock, value, 'PX', lease_ms)
return 1
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
# A transaction behind a look at who serves the platform: MULTI alone cannot look before it leaps.
_FENCED = """
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return {'lost'} end
local replies = {'done'}
for number, command in ipairs(cjson.decode(ARGV[2])) do
  replies[number + 1] = redis.call(unpack(command))
end
return replies
"""

log = structlog.get_logger(__name__)


class LockHeldError(FennelError):
    """Another process serves this account."""


class LockLostError(FennelError):
    """Another process has taken the account over while this one was not heard of; this one has to end."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock: enough to tell on the same machine that the process is dead."""

    token: str
    pid: int
    started_at_s: float
    machine: str

    @classmethod
    def this_process(cls) -> Holder:
        """The process that calls."""
        pid = os.getpid()
        return cls(secrets.token_hex(8), pid, psutil.Process(pid).create_time(), _machine())

    @classmethod
    def parse(cls, value: str) -> Holder | None:
        """Read a lock's value; None where it is not ours."""
        try:
            body = json.loads(value)
            return cls(**{field.name: body[field.name] for field in fields(cls)})
        except (ValueError, TypeError, KeyError):
            return None

    def to_value(self) -> str:
        """The lock's value."""
        return json.dumps(asdict(self))

    def is_dead(self) -> bool:
        """Whether the process is certainly gone; False for one on another machine, of which nothing is known."""
        if self.machine != _machine():
            return False
        try:
            return abs(psutil.Process(self.pid).create_time() - self.started_at_s) > 1.0
        except psutil.NoSuchProcess:
            return True


def _machine() -> str:
    """This boot of this machine, and the space that its process ids belong to (a container has its own)."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


class AccountLock:
    """Held by lease and renewed; `redis` waits for Redis (`patient_client`).

    While Redis is away nobody can take the lock, so that waiting for it loses nothing. It is a fence too: a process
    that stood still for longer than its lease, and was replaced, changes nothing any more through `execute`, and
    `check` tells it so before it sends.
    """

    def __init__(self, redis: Redis, platform: str, account: str, lease_s: float = LEASE_S) -> None:
        self._redis = redis
        self._platform = platform
        self._account = account
        self._keys = (names.bot_lock_key(platform, account), names.served_key(platform))
        self._lease_s = lease_s
        holder = Holder.this_process()
        self._token, self._value = holder.token, holder.to_value()
        self._sure_until_s = 0.0

    async def acquire(self) -> None:
        """Take the lock, at once from a holder that is dead. Raises LockHeldError when the holder is alive.

        A holder on another machine is waited for as long as its lease lasts; one that renews it is alive.
        """
        end_s = time.monotonic() + self._lease_s + 1
        dead = ""
        while True:
            asked_at_s = _clock_s()
            what, value = await self._try(dead)
            if what == "ours":
                self._sure_until_s = asked_at_s + self._lease_s
                return
            holder = Holder.parse(value)
            if holder and holder.is_dead():
                log.warning("taking over from a bot that died", pid=holder.pid)
                dead = value
                continue
            if holder and holder.machine == _machine():
                raise LockHeldError(self._sentence(what, f"process {holder.pid}"))
            if time.monotonic() > end_s:
                where = holder.machine.split()[0] if holder else "another machine"
                raise LockHeldError(self._sentence(what, f"on {where}"))
            await asyncio.sleep(POLL_S)

    async def _try(self, dead: str) -> tuple[str, str]:
        others = names.bot_lock_key(self._platform, "")
        arguments = (self._value, self._lease_ms, self._account, self._token, dead, others)
        what, value = await self._redis.eval(_ACQUIRE, 2, *self._keys, *arguments)
        return str(what), str(value)

    def _sentence(self, what: str, who: str) -> str:
        if what == "held":
            return f"another bot ({who}) serves this account already"
        return (
            f"another bot ({who}) serves another account of {self._platform} with this Redis: "
            f"a second account wants a Redis and workers of its own (docs/scaling.md)"
        )

    async def keep(self) -> None:
        """Renew the lease until cancelled. Raises LockLostError."""
        while True:
            await asyncio.sleep(MARGIN * self._lease_s)
            await self._renew()

    async def check(self) -> None:
        """Return while the account is ours: at once long before the lease ends, else when Redis has said so.

        Raises LockLostError. What follows it may still come too late, by as long as the process then stands still.
        """
        if _clock_s() >= self._sure_until_s - MARGIN * self._lease_s:
            await self._renew()

    async def execute(self, step: Pipeline) -> list[Any]:
        """Do what the pipeline has collected in one step, and give the replies as Redis gives them.

        Raises LockLostError where the account is no longer ours; then nothing is done.
        """
        commands = [[_text(part) for part in arguments] for arguments, _options in step.command_stack]
        step.command_stack.clear()
        wire = json.dumps(commands, ensure_ascii=False)
        reply: list[Any] = await self._redis.eval(_FENCED, 1, self._keys[1], self._token, wire)
        if reply[0] != "done":
            raise LockLostError(LOST)
        return reply[1:]

    async def _renew(self) -> None:
        asked_at_s = _clock_s()
        if not await self._redis.eval(_RENEW, 2, *self._keys, self._value, self._lease_ms, self._token):
            raise LockLostError(LOST)
        self._sure_until_s = asked_at_s + self._lease_s

    async def release(self) -> None:
        """Let go of the lock if it is still ours."""
        await self._redis.eval(_RELEASE, 1, self._keys[0], self._value)

    @property
    def _lease_ms(self) -> str:
        return str(round(self._lease_s * 1000))


def _clock_s() -> float:
    """A clock that goes on while the machine sleeps, and that nobody sets."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _text(part: object) -> str:
    return repr(part) if isinstance(part, float) else str(part)
