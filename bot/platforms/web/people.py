"""Who is at the page: a person with a cookie that nobody can guess, and a name that they gave themselves."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import asdict, dataclass
from typing import Any, Literal

from redis.asyncio import Redis

from bot.plain_text import clean
from config.platform_sections import WebSettings
from contract import names

Role = Literal["guest", "operator"]
SESSION_S = 7 * 86_400
NAME_CHARACTERS = 40
_ID_CHARACTERS = 12


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who has come in. `role` is ``operator`` only where the operators' password has proved it."""

    id: str
    name: str
    role: Role


def person_id(key: str, role: Role) -> str:
    """The id of the person whose browser keeps this key: the same as long as it does, and not to be forged."""
    return f"{role}-{_digest(key)[:_ID_CHARACTERS]}"


def new_key() -> str:
    """A key for a browser to keep."""
    return secrets.token_urlsafe(24)


def shown_name(name: str) -> str:
    """The name that somebody gave themselves, in one line and without what nobody sees; empty where none is left."""
    return " ".join(clean(name).split())[:NAME_CHARACTERS]


class People:
    """Sessions in Redis, so that a restarted bot knows who is there. `redis` waits for Redis."""

    def __init__(self, redis: Redis, settings: WebSettings) -> None:
        self._redis = redis
        # Another password ends all sessions that came in by the one before.
        secret = f"{settings.password_hash.get_secret_value()}\n{settings.operator_hash.get_secret_value()}"
        self._lock = _digest(secret)[:16]

    async def come_in(self, key: str, name: str, role: Role) -> str:
        """Somebody comes in; gives the token of their session."""
        token, person = new_key(), Person(person_id(key, role), name, role)
        value = json.dumps({**asdict(person), "lock": self._lock}, ensure_ascii=False)
        async with self._redis.pipeline(transaction=True) as step:
            step.set(names.web_session_key(_digest(token)), value, ex=SESSION_S)
            step.hset(names.WEB_NAMES_KEY, person.id, name)
            await step.execute()
        return token

    async def who(self, token: str) -> Person | None:
        """Whose session this is; None where it is over."""
        value: Any = await self._redis.get(names.web_session_key(_digest(token))) if token else None
        if not value:
            return None
        said = json.loads(value)
        return Person(said["id"], said["name"], said["role"]) if said["lock"] == self._lock else None

    async def leave(self, token: str) -> None:
        """The session is over."""
        await self._redis.delete(names.web_session_key(_digest(token)))

    async def names_of(self, people: tuple[str, ...]) -> list[str]:
        """What these people call themselves; the id where nobody knows."""
        if not people:
            return []
        found: Any = await self._redis.hmget(names.WEB_NAMES_KEY, list(people))
        return [str(name or person) for name, person in zip(found, people, strict=True)]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
