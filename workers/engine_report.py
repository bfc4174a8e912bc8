"""What a worker tells of its engine in Redis, for `fennel up`, `fennel status` and whoever looks with redis-cli."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

import redis

from contract import names


class EngineReport:
    """A hash that lives as long as its worker's heartbeat: state, what it does, how far it is, why it failed.

    `state` is ``loading``, ``ready``, ``restarting`` or ``failed``; `progress` is 0 to 1.
    """

    def __init__(self, worker_name: str, kept_s: int) -> None:
        self._key = names.engine_key(worker_name)
        self._kept_s = kept_s
        self._lock = threading.Lock()
        self._loads = 0
        self._fields: dict[str, str] = {
            "state": "loading",
            "what": "starting",
            "progress": "0",
            "error": "",
            "pid": str(os.getpid()),
        }

    def loading(self, what: str, share: float) -> None:
        """The engine is being loaded."""
        self._set(state="loading", what=what, progress=f"{share:.3f}")

    def ready(self, about: Mapping[str, str]) -> None:
        """The engine takes questions; `about` is what it says of itself, `loads` how often a model was loaded."""
        self._loads += 1
        self._set(state="ready", what="", progress="1", error="", loads=str(self._loads), **about)

    def restarting(self, reason: str) -> None:
        """The engine died and is started anew."""
        self._set(state="restarting", what="starting", progress="0", error=reason)

    def failed(self, reason: str) -> None:
        """The engine will not be started again."""
        self._set(state="failed", error=reason)

    def add_to(self, pipeline: redis.client.Pipeline) -> None:
        """Write it all with the worker's heartbeat."""
        with self._lock:
            fields: Any = dict(self._fields)
        pipeline.hset(self._key, mapping=fields)
        pipeline.expire(self._key, self._kept_s)

    def _set(self, **fields: str) -> None:
        with self._lock:
            self._fields.update(fields)
