"""A copy of the bindings in the home folder: a Redis that has lost its data must not show a channel what was hidden.

Each change of the bindings is counted in Redis. Where Redis counts less than the copy, it has lost some, and gets them
back from the copy before the next question is answered; where it counts more, the copy is made anew.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path

import redis
import structlog

from contract import names
from workers.knowledge.document import KnowledgeError

# What somebody has bound since the loss is newer than the copy.
_PUT_BACK = """
local bindings, changes = unpack(KEYS)
local counted = tonumber(redis.call('GET', changes) or '0')
if counted >= tonumber(ARGV[1]) then return 0 end
for at = 2, #ARGV, 2 do redis.call('HSETNX', bindings, ARGV[at], ARGV[at + 1]) end
redis.call('SET', changes, counted + tonumber(ARGV[1]))
return 1
"""
# Bindings of a time when nobody counted are counted as one change.
_LOOK = """
local bindings, changes = unpack(KEYS)
if redis.call('EXISTS', changes) == 0 and redis.call('EXISTS', bindings) == 1 then redis.call('SET', changes, 1) end
return {redis.call('GET', changes) or '0', redis.call('HGETALL', bindings)}
"""

log = structlog.get_logger(__name__)


class BindingsCopy:
    """The copy of one home folder; raises KnowledgeError for a file that cannot be read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self.changes, self._bindings = self._read()

    def meet(self, connection: redis.Redis, counted: int) -> None:
        """Redis has counted so many changes: make the copy anew, or put back what Redis has lost."""
        keys = (names.bindings_key(), names.bindings_changes_key())
        with self._lock:
            if counted < self.changes and self._bindings:
                parts = [part for pair in self._bindings.items() for part in pair]
                if connection.eval(_PUT_BACK, len(keys), *keys, str(self.changes), *parts):
                    log.error("Redis had lost the channels' bindings; they are put back", count=len(self._bindings))
            changes, flat = connection.eval(_LOOK, len(keys), *keys)
            texts = [_text(one) for one in flat]
            self.changes, self._bindings = int(changes), dict(zip(texts[::2], texts[1::2], strict=True))
            self._write()

    def _read(self) -> tuple[int, Mapping[str, str]]:
        try:
            body = json.loads(self._path.read_text(encoding="utf-8"))
            return int(body["changes"]), {str(channel): str(bases) for channel, bases in body["bindings"].items()}
        except FileNotFoundError:
            return -1, {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise KnowledgeError(
                f"{self._path}, the copy of the channels' bindings, cannot be read ({error}): look at "
                f"`fennel kb bindings`, then delete it"
            ) from error

    def _write(self) -> None:
        unfinished = self._path.with_suffix(".unfinished")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            body = {"changes": self.changes, "bindings": self._bindings}
            unfinished.write_text(json.dumps(body, ensure_ascii=False), encoding="utf-8")
            unfinished.rename(self._path)
        except OSError as error:
            log.error("the copy of the channels' bindings cannot be written", error=str(error))


def _text(raw: object) -> str:
    return raw.decode() if isinstance(raw, bytes) else str(raw)
