"""The page's passwords: argon2 hashes in the settings, and not many guesses."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import Any

import structlog
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError
from redis.asyncio import Redis

from bot.platform import PlatformError
from bot.platforms.web import metrics
from bot.platforms.web.people import Role
from config.platform_sections import WebSettings
from contract import names

GUESSES, GUESSES_OF_ALL = 5, 100
"""Wrong passwords from one address, and from all together, before everybody there has to wait."""
WAIT_S = 300
PASSWORD_CHARACTERS = 1_024
_AT_ONCE = 2
"""A check takes 64 MiB and a core for some 50 ms."""
_EVERYBODY = "all"

log = structlog.get_logger(__name__)


class TooManyGuessesError(PlatformError):
    """Too many wrong passwords have come from there; try again after `wait_s` seconds."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"too many wrong passwords: try again in {wait_s} s")
        self.wait_s = wait_s


def check_settings(settings: WebSettings) -> None:
    """Raises PlatformError where the page would be open to strangers, or a hash is none."""
    for key in ("password_hash", "operator_hash"):
        value = getattr(settings, key).get_secret_value()
        try:
            if value:
                extract_parameters(value)
        except InvalidHashError as error:
            raise PlatformError(f"web.{key} is no argon2 hash: `fennel web password` makes one") from error
    if not is_loopback(settings.host) and not settings.password_hash.get_secret_value():
        raise PlatformError(
            f"web.host={settings.host} is open to others and there is no password: `fennel web password` makes "
            f"what FENNEL_WEB__PASSWORD_HASH wants; or set web.host to 127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class Passwords:
    """Tells by a password who comes in. `redis` waits for Redis."""

    def __init__(self, settings: WebSettings, redis: Redis) -> None:
        self._guest = settings.password_hash.get_secret_value()
        self._operator = settings.operator_hash.get_secret_value()
        self._redis = redis
        self._checking = asyncio.Semaphore(_AT_ONCE)

    @property
    def are_wanted(self) -> bool:
        """Whether nobody comes in without one."""
        return bool(self._guest)

    @property
    def are_there(self) -> bool:
        """Whether there is any to give."""
        return bool(self._guest or self._operator)

    def sees_tabs(self, role: Role) -> bool:
        """Whether somebody of this role sees the operators' tabs: without any password, whoever reaches loopback."""
        return role == "operator" or not self.are_there

    async def role_of(self, password: str, address: str) -> Role | None:
        """As what somebody at this address comes in; None for a wrong password. Raises TooManyGuessesError."""
        if not password and not self.are_wanted:
            return "guest"
        source = _source(address)
        async with self._checking:
            await self._refuse_after_many(source)
            role = await asyncio.to_thread(self._matching, password[:PASSWORD_CHARACTERS])
            if role is None:
                await self._count(source)
                metrics.wrong_passwords.inc()
                log.warning("a wrong password", address=source)
        return role

    def _matching(self, password: str) -> Role | None:
        if self._operator and _is(self._operator, password):
            return "operator"
        return "guest" if self._guest and _is(self._guest, password) else None

    async def _refuse_after_many(self, source: str) -> None:
        keys = [names.web_wrong_key(source), names.web_wrong_key(_EVERYBODY)]
        for key, most in zip(keys, (GUESSES, GUESSES_OF_ALL), strict=True):
            count: Any = await self._redis.get(key)
            if int(count or 0) >= most:
                raise TooManyGuessesError(max(1, int(await self._redis.ttl(key))))

    async def _count(self, source: str) -> None:
        async with self._redis.pipeline(transaction=True) as step:
            for key in (names.web_wrong_key(source), names.web_wrong_key(_EVERYBODY)):
                step.incr(key)
                step.expire(key, WAIT_S)
            await step.execute()


def _is(hashed: str, password: str) -> bool:
    try:
        return PasswordHasher().verify(hashed, password)
    except VerificationError:
        return False


def _source(address: str) -> str:
    """Who is at an address: of IPv6 somebody has a whole network of them."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
