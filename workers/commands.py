"""What operators tell a worker: RQ's commands on its channel, and that nothing is to be taken for a while."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import redis
import structlog
from rq.command import parse_payload
from rq.suspension import is_suspended

from workers.assignment import StopReason
from workers.places import Places

STOP_REASONS = {
    "stop-job": StopReason.STOPPED,
    "stop-execution": StopReason.STOPPED,
    "hand-back": StopReason.BEGUN_ANEW,
}

log = structlog.get_logger(__name__)


def obey(message: Any, places: Places, stop: threading.Event) -> None:
    """RQ's commands: stop one job or execution and no other, or shut down. And ours: begin a job anew."""
    try:
        payload = parse_payload(message)
        command = payload.get("command")
    except (ValueError, AttributeError, KeyError, TypeError, json.JSONDecodeError) as error:
        log.warning("a command was not understood", error=str(error))
        return
    if command == "shutdown":
        stop.set()
    elif command in STOP_REASONS:
        for assignment in places.held():
            if payload.get("execution_id", assignment.execution.id) == assignment.execution.id and (
                payload.get("job_id") == assignment.job.id
            ):
                assignment.stop(STOP_REASONS[command])


class Suspension:
    """Whether `rq suspend` holds; asked once a second at most, not once a job. `asked_at_s`: when last (monotonic)."""

    def __init__(self, connection: redis.Redis) -> None:
        self._connection = connection
        self._holds = False
        self.asked_at_s = -1.0

    def holds(self) -> bool:
        """Whether nothing is to be taken now."""
        now_s = time.monotonic()
        if now_s - self.asked_at_s > 1:
            self.asked_at_s = now_s
            try:
                self._holds = bool(is_suspended(self._connection))
            except redis.RedisError:
                self._holds = False
        return self._holds
