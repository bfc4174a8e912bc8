"""What a worker tells of its engine in Redis, for `fennel up`, `fennel status` and whoever looks with redis-cli."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import redis

from config.settings import Settings
from contract import names
from health.engine_state import EngineState
from health.last_error import note_error, note_well, read_errors
from workers.engine.supervisor import EngineUsage

RATE_BEATS = 6
"""Heartbeats, about one a second, over which the rate of tokens is taken."""
FAILED_KEPT_S = names.SECONDS_A_DAY
LEASES_KEPT = 4


class EngineReport:
    """A hash that lives as long as its worker's heartbeat: state, what it does, how far it is, why it failed.

    `state` is ``loading``, ``ready``, ``restarting`` or ``failed``; `progress` is 0 to 1.
    """

    def __init__(self, worker_name: str, settings: Settings) -> None:
        self._settings = settings
        self._worker_name = worker_name
        self._key = names.engine_key(settings.worker_name(worker_name))
        self._kept_s = round(LEASES_KEPT * settings.worker.lease_s)
        self._lock = threading.Lock()
        self._loads = 0
        self._tokens: deque[tuple[float, int]] = deque(maxlen=RATE_BEATS)
        # Why the one before failed: a worker that is started again and again must not hide it.
        before = read_errors(settings).get(worker_name)
        self._fields: dict[str, str] = {
            "state": "loading",
            "what": "starting",
            "progress": "0",
            "error": before.says if before and before.count else "",
            "pid": str(os.getpid()),
        }

    def loading(self, what: str, share: float) -> None:
        """The engine is being loaded."""
        self._set(state="loading", what=what, progress=f"{share:.3f}")

    def ready(self, about: Mapping[str, str]) -> None:
        """The engine takes questions; `about` is what it says of itself, `loads` how often a model was loaded."""
        self._loads += 1
        self._set(state="ready", what="", progress="1", error="", loads=str(self._loads), **about)
        note_well(self._settings, self._worker_name)

    def restarting(self, reason: str) -> None:
        """The engine died and is started anew."""
        self._set(state="restarting", what="starting", progress="0", error=reason)
        note_error(self._settings, self._worker_name, reason)

    def failed(self, reason: str) -> None:
        """The engine will not be started again."""
        self._set(state="failed", error=reason)
        note_error(self._settings, self._worker_name, reason)

    @property
    def state(self) -> EngineState:
        """What others read of it."""
        with self._lock:
            return EngineState.read(self._worker_name, self._fields)

    def add_to(self, pipeline: redis.client.Pipeline, usage: EngineUsage) -> None:
        """Write it all with the worker's heartbeat."""
        self._tokens.append((time.monotonic(), usage.new_tokens))
        (first_s, before), (last_s, now) = self._tokens[0], self._tokens[-1]
        rate = (now - before) / (last_s - first_s) if last_s > first_s else 0.0
        with self._lock:
            self._fields.update(
                in_flight=str(usage.in_flight),
                tokens_per_s=f"{rate:.1f}",
                gpu_memory_bytes=str(usage.gpu_memory_bytes),
            )
            fields: Any = dict(self._fields)
        pipeline.hset(self._key, mapping=fields)
        # Why it failed is to be known for as long as nobody has started it again.
        pipeline.expire(self._key, FAILED_KEPT_S if fields["state"] == "failed" else self._kept_s)

    def leave(self, connection: redis.Redis) -> None:
        """The worker ends; what it says of its engine is true no more, but for why it failed."""
        with self._lock:
            if self._fields["state"] != "failed":
                self._fields.update(state="stopped", what="its worker was stopped", progress="0")
        try:
            with connection.pipeline() as pipeline:
                self.add_to(pipeline, EngineUsage(0, 0, 0))
                pipeline.execute()
        except redis.RedisError:  # it ends by itself with the worker's heartbeat
            return

    def _set(self, **fields: str) -> None:
        with self._lock:
            self._fields.update(fields)
