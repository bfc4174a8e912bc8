"""The worker's health: its engine, Redis, the disk; and the queue as a metric."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import redis
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from config.settings import Settings
from contract.finding import Finding
from health import surroundings
from health.engine_state import EngineState
from health.surroundings import Surroundings, engine_finding

STUCK_AFTER_S = 60.0
"""The main thread turns once a second, and once in ten where Redis hangs."""


class WorkerHealth:
    """What `/healthz`, `/readyz` and the queue's metrics of a worker say."""

    def __init__(self, settings: Settings, engine: Callable[[], EngineState], turned_at_s: Callable[[], float]) -> None:
        self._settings = settings
        self._engine = engine
        self._turned_at_s = turned_at_s
        self.surroundings = Surroundings(settings)

    def is_alive(self) -> bool:
        """Whether the thread that takes questions still turns."""
        return time.monotonic() - self._turned_at_s() < STUCK_AFTER_S

    def findings(self) -> list[Finding]:
        """How everything stands that it needs to answer."""
        return [surroundings.disk(self._settings), self.surroundings.redis(), engine_finding(self._engine())]


class QueueCollector(Collector):
    """The queue's depth and the age of its oldest question, asked of Redis at each scrape; nothing while it is away."""

    def __init__(self, around: Surroundings) -> None:
        self._surroundings = around

    def collect(self) -> Iterator[Metric]:
        """Ask now."""
        try:
            depth, oldest_s = self._surroundings.queue()
        except redis.RedisError:
            return
        yield GaugeMetricFamily("fennel_queue_depth", "Questions that wait in the queue.", value=depth)
        yield GaugeMetricFamily("fennel_queue_oldest_seconds", "How long the oldest of them waits.", value=oldest_s)

    def describe(self) -> Iterator[Metric]:
        """Asked at registration, when Redis may not be there yet."""
        return iter(())
