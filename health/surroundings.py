"""What a program needs around it: room on the disk, Redis, and an engine that answers."""

from __future__ import annotations

import shutil
import time
from datetime import datetime

import redis

from config.redis_clients import threads_client
from config.redis_trouble import trouble
from config.settings import Settings
from contract import names
from contract.finding import Finding
from health.engine_state import EngineState, read_states

FREE_MB = 100
"""For logs, the append-only file and the knowledge base."""
TIMEOUT_S = 2.0
NO_WORKER = Finding(
    "engine",
    False,
    "no worker is heard of, and this host has none",
    "start one on another host (docs/scaling.md), or set FENNEL_WORKER__PROCESSES here",
)


def free_mb(settings: Settings) -> int:
    """What is free on the home folder's disk."""
    return shutil.disk_usage(settings.home).free // 2**20


def disk(settings: Settings) -> Finding:
    """Whether the home folder can take what is written to it."""
    try:
        left_mb = free_mb(settings)
    except OSError as error:
        return Finding("disk", False, f"{settings.home} cannot be read ({error.strerror})", "mount its disk again")
    if left_mb < FREE_MB:
        says = f"the disk of {settings.home} has {left_mb} MB left and Fennel needs {FREE_MB}"
        return Finding("disk", False, says, "free some space, or move FENNEL_HOME to another disk")
    return Finding("disk", True, f"{left_mb:,} MB are free below the home folder")


class Surroundings:
    """Asks Redis, within two seconds, in whichever thread calls."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = threads_client(settings.redis_address, TIMEOUT_S)

    def redis(self) -> Finding:
        """Whether Redis answers."""
        try:
            self._client.ping()
        except redis.RedisError as error:
            return redis_finding(error, self._settings)
        return Finding("Redis", True, "Redis answers")

    def engine(self) -> Finding:
        """Whether some engine answers questions; where none does, what the first of them says."""
        try:
            states = read_states(self._client, self._settings)
        except redis.RedisError:
            return Finding("engine", False, "nothing is known of it without Redis", "mend Redis first")
        if not states:
            return NO_WORKER
        return next((engine_finding(state) for state in states if state.ready), engine_finding(states[0]))

    def queue(self) -> tuple[int, float]:
        """How many questions wait in the queue, and for how many seconds the oldest does. Raises redis.RedisError."""
        with self._client.pipeline(transaction=False) as pipeline:
            pipeline.llen(names.QUEUE_KEY)
            pipeline.lindex(names.QUEUE_KEY, 0)
            count, oldest = pipeline.execute()
        created = self._client.hget(names.job_key(oldest), "created_at") if oldest else None
        if not created:
            return int(count), 0.0
        return int(count), max(0.0, time.time() - datetime.fromisoformat(str(created)).timestamp())

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def redis_finding(error: redis.RedisError, settings: Settings) -> Finding:
    """What is wrong with Redis; the embedded server's cure is a command of ours."""
    what = trouble(error, settings.redis_address)
    if settings.redis.is_embedded and what.may_pass:
        cure = (
            "`fennel up` starts it, `fennel restart redis` where the rest runs; `fennel logs redis` tells why it ended"
        )
        return Finding("Redis", False, what.says, cure)
    return Finding("Redis", False, what.says, what.cure)


def engine_finding(state: EngineState, subject: str = "engine") -> Finding:
    """How an engine stands."""
    if state.ready:
        return Finding(subject, True, "the model is loaded and has answered")
    if state.state == "failed":
        # The sentence is the model's or the device's: starting again alone would not help.
        return Finding("model", False, state.error, f"mend that, then: fennel restart {state.worker}")
    if state.state in ("", "stopped"):
        how = "was stopped" if state.state else "is not heard of"
        return Finding(subject, False, f"{state.worker} {how}", f"fennel restart {state.worker}")
    said = f" (before: {state.error})" if state.error else ""
    how_far = f"{state.state}: {state.what}, {state.progress:.0%}{said}"
    return Finding(subject, False, how_far, f"wait, or look: fennel logs {state.worker}")
