"""A worker's places, and what becomes of one when Redis fails at the wrong moment."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest
import redis
from rq.worker import WorkerStatus

from config.redis_users import Role
from tests.valkey import ValkeyServer
from tests.workers.questions import ask, wait_for_finals
from tests.workers.scripted_worker import RUNS_KEY, WorkerThread
from workers.assignment import Assignment
from workers.places import Places
from workers.worker import QuestionWorker


def assignment(number: int) -> Assignment:
    """Enough of one to be told from others."""
    return cast(Assignment, SimpleNamespace(execution=SimpleNamespace(id=f"execution {number}")))


def test_there_are_no_more_places_than_were_made() -> None:
    """A place that is taken is nobody else's until it is free, whether it came to hold an assignment or not."""
    places, one = Places(2), assignment(1)

    assert places.take(0)
    places.hold(one)
    assert places.take(0)
    assert not places.take(0)
    assert (places.taken, places.held()) == (2, [one])

    places.free()
    assert places.take(0)
    places.free(one)
    assert (places.taken, places.held()) == (1, [])


def test_whoever_waits_for_a_place_gets_the_one_that_becomes_free() -> None:
    """A wait ends when a place is freed by another thread."""
    places = Places(1)
    assert places.take(0)
    threading.Timer(0.05, places.free).start()

    assert places.take(30)


def test_a_redis_that_is_gone_when_the_worker_turns_busy_costs_no_place(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job is admitted once, though Redis could not be told that the worker is busy: its place is free afterwards."""
    set_state = QuestionWorker.set_state
    failed: list[str] = []

    def fail_once(worker: QuestionWorker, state: str, *arguments: Any, **keywords: Any) -> None:
        set_state(worker, state, *arguments, **keywords)
        if state == WorkerStatus.BUSY and not failed:
            failed.append(state)
            raise redis.ConnectionError("gone for a moment")

    monkeypatch.setattr(QuestionWorker, "set_state", fail_once)
    with redis.Redis.from_url(valkey.url) as connection:
        with WorkerThread(valkey.url_of(Role.WORKER), max_in_flight=1):
            ask(connection, "sleep:0")
            ask(connection, "sleep:0")
            wait_for_finals(connection, 2)

        assert failed
        assert connection.llen(RUNS_KEY) == 2
