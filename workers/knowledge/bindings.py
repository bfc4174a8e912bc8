"""Bindings: which knowledge bases a channel may see. A channel that is bound to none sees the default base.

They stand in Redis, where every worker reads them at each question: a change holds at once, and on every host. A worker
keeps a copy for the day that Redis loses its data.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import redis

from contract import names
from workers.knowledge.base import DEFAULT_BASE, check_base_name
from workers.knowledge.bindings_copy import BindingsCopy
from workers.knowledge.document import KnowledgeError

_CHANNEL = re.compile(r"[a-z][a-z0-9-]*:[^\s:]+:\S+")


class Bindings:
    """The bindings of all channels. A channel is PLATFORM:TENANT:CHANNEL, as `@fennel status` tells it."""

    def __init__(self, connection: redis.Redis, copy: BindingsCopy | None = None) -> None:
        self._connection = connection
        self._copy = copy

    def bases_of(self, channel: str) -> tuple[str, ...]:
        """The bases that a channel may see.

        Raises KnowledgeError for a binding that cannot be read: guessing would show what was to be hidden.
        """
        counted, said = self._look(channel)
        if self._copy is not None and counted != self._copy.changes:
            self._copy.meet(self._connection, counted)
            _, said = self._look(channel)
        return _bases(channel, said) if said is not None else (DEFAULT_BASE,)

    def bind(self, channel: str, bases: Sequence[str]) -> None:
        """Let a channel see these bases and no others."""
        if not _CHANNEL.fullmatch(channel):
            raise KnowledgeError(
                f"{channel!r} is no channel: PLATFORM:TENANT:CHANNEL, such as slack:T0123:C0456; "
                f"`@fennel status` in the channel tells its name"
            )
        kept = list(dict.fromkeys(check_base_name(base) for base in bases))
        if not kept:
            raise KnowledgeError("a channel is bound to one base at least")
        with self._connection.pipeline() as step:
            step.hset(names.bindings_key(), channel, json.dumps(kept, ensure_ascii=False))
            step.incr(names.bindings_changes_key())
            step.execute()

    def unbind(self, channel: str) -> bool:
        """Let a channel see the default base again; False where it was not bound."""
        with self._connection.pipeline() as step:
            step.hdel(names.bindings_key(), channel)
            step.incr(names.bindings_changes_key())
            return bool(step.execute()[0])

    def _look(self, channel: str) -> tuple[int, bytes | str | None]:
        """How many changes there were, and what the channel is bound to."""
        with self._connection.pipeline() as step:
            step.get(names.bindings_changes_key())
            step.hget(names.bindings_key(), channel)
            counted, said = step.execute()
        return int(counted or 0), said

    def all(self) -> dict[str, tuple[str, ...]]:
        """Every bound channel with its bases, by name."""
        found = self._connection.hgetall(names.bindings_key())
        channels = sorted(
            (channel if isinstance(channel, str) else channel.decode(), said) for channel, said in found.items()
        )
        return {channel: _bases(channel, said) for channel, said in channels}


def _bases(channel: str, said: bytes | str) -> tuple[str, ...]:
    try:
        bases = json.loads(said)
        if isinstance(bases, list) and bases and all(isinstance(base, str) for base in bases):
            return tuple(bases)
    except ValueError:
        pass
    raise KnowledgeError(f"the binding of {channel} cannot be read: bind it again with `fennel kb bind`")
