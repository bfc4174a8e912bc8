"""The heart: renews the leases of what a worker has in hand, enforces time limits, and reaps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import redis
import structlog
from rq.queue import Queue
from rq.timeouts import BaseDeathPenalty

from workers.assignment import StopReason
from workers.finisher import Finisher
from workers.places import Places
from workers.reaper import Reaper

log = structlog.get_logger(__name__)

REAP_EVERY_S = 5.0
# After its time is up a question has this long to end by itself; then its place is freed without it.
STOP_GRACE_S = 5.0


class NoDeathPenalty(BaseDeathPenalty):  # type: ignore[misc]  # RQ is not typed
    """Time limits are enforced by the heart thread: an alarm signal cannot reach the thread that answers."""

    def setup_death_penalty(self) -> None:
        """Nothing to set up."""

    def cancel_death_penalty(self) -> None:
        """Nothing to cancel."""


class Heart:
    """Beats in a thread of its own, for what stands in the worker's `places`."""

    def __init__(
        self,
        connection: redis.Redis,
        rq_queue: Queue,
        places: Places,
        finisher: Finisher,
        reaper: Reaper,
        lease_s: int,
    ) -> None:
        self._connection = connection
        self._registry = rq_queue.started_job_registry
        self._places = places
        self._finisher = finisher
        self._reaper = reaper
        self._lease_s = lease_s
        self._reaped_s = float("-inf")

    def run(self, dead: threading.Event, tell: Callable[[redis.client.Pipeline], None]) -> None:
        """Beat until `dead`; `tell` adds what the worker says of itself to each beat's transaction."""
        while not dead.wait(min(1.0, self._lease_s / 4)):
            self._enforce_time_limits()
            try:
                self._renew_leases(tell)
                if time.monotonic() - self._reaped_s > REAP_EVERY_S:
                    self._reap()
            except redis.RedisError as error:
                log.debug("no heartbeat", error=str(error))
            except Exception:
                # The heart must go on, or the leases of all questions in hand are lost.
                log.exception("a heartbeat failed")

    def _reap(self) -> None:
        self._reaper.reap({one.execution.composite_key for one in self._places.held()})
        self._reaped_s = time.monotonic()

    def _enforce_time_limits(self) -> None:
        now_s = time.monotonic()
        for assignment in self._places.held():
            if now_s > assignment.deadline_s:
                assignment.stop(StopReason.TIMEOUT)
            if now_s > assignment.deadline_s + STOP_GRACE_S:
                self._finisher.stopped(assignment)

    def _renew_leases(self, tell: Callable[[redis.client.Pipeline], None]) -> None:
        held = self._places.held()
        # One that ends meanwhile is not brought back: registries are only renewed where the execution still stands
        # in them, and a hash that comes back ends with its lease.
        with self._connection.pipeline() as pipeline:
            tell(pipeline)
            for one in held:
                one.execution.heartbeat(self._registry, self._lease_s, pipeline=pipeline)
            if held:
                pipeline.zmscore(self._registry.key, [one.execution.composite_key for one in held])
            results = pipeline.execute()
        for one, lease_end in zip(held, results[-1] if held else (), strict=True):
            # One that has ended only waits to be written: its answer is as good as the other worker's.
            if lease_end is None and not one.settled:
                log.warning("a question was taken over by another worker", question=one.question.id)
                one.stop(StopReason.LEASE_LOST)
