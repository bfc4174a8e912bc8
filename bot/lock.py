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

from contract import names
from contract.errors import FennelError

LEASE_S = 15.0
POLL_S = 0.2

_RENEW = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_TAKE_OVER = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
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

    While Redis is away nobody can take the lock, so that waiting for it loses nothing.
    """

    def __init__(self, redis: Redis, platform: str, account: str, lease_s: float = LEASE_S) -> None:
        self._redis = redis
        self._key = names.bot_lock_key(platform, account)
        self._lease_s = lease_s
        self._value = Holder.this_process().to_value()

    async def acquire(self) -> None:
        """Take the lock, at once from a holder that is dead. Raises LockHeldError when the holder is alive.

        A holder on another machine is waited for as long as its lease lasts; one that renews it is alive.
        """
        end_s = time.monotonic() + self._lease_s + 1
        while not await self._try():
            value: Any = await self._redis.get(self._key)
            holder = Holder.parse(value) if value else None
            if holder and holder.machine == _machine() and not holder.is_dead():
                raise LockHeldError(f"another bot (process {holder.pid}) serves this account already")
            if time.monotonic() > end_s:
                where = holder.machine.split()[0] if holder else "another machine"
                raise LockHeldError(f"another bot on {where} serves this account already")
            await asyncio.sleep(POLL_S)

    async def _try(self) -> bool:
        lease_ms = round(self._lease_s * 1000)
        if await self._redis.set(self._key, self._value, nx=True, px=lease_ms):
            return True
        value: Any = await self._redis.get(self._key)
        # Ours already: the first try took it, and its reply was lost with the connection.
        if value == self._value:
            return True
        holder = Holder.parse(value) if value else None
        if holder is None or not holder.is_dead():
            return False
        log.warning("taking over from a bot that died", pid=holder.pid)
        return bool(await self._redis.eval(_TAKE_OVER, 1, self._key, value, self._value, str(lease_ms)))

    async def keep(self) -> None:
        """Renew the lease until cancelled. Raises LockLostError."""
        while True:
            await asyncio.sleep(self._lease_s / 3)
            lease_ms = str(round(self._lease_s * 1000))
            if not await self._redis.eval(_RENEW, 1, self._key, self._value, lease_ms):
                raise LockLostError("another bot has taken this account over")

    async def release(self) -> None:
        """Let go of the lock if it is still ours."""
        await self._redis.eval(_RELEASE, 1, self._key, self._value)
