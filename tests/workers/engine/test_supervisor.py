"""The engine process under its supervisor: it starts, answers many at once, and stops."""

from __future__ import annotations

import threading
from pathlib import Path

import psutil
import pytest
from prometheus_client import CollectorRegistry

from tests.workers.engine.conftest import LONG, MakeSupervisor, loads, request, wait_for_text
from workers.engine.generation import EngineDiedError, GenerationCancelledError


def test_answers_a_prompt(make_supervisor: MakeSupervisor) -> None:
    """A started engine answers a prompt, and its answer counts its tokens."""
    supervisor = make_supervisor()
    supervisor.start()
    generation = supervisor.submit(request("the red fox"))
    assert generation.wait(10)
    assert generation.result() == "the red fox"
    assert (generation.id, generation.prompt_tokens, generation.new_tokens) == ("q", 3, 3)


def test_tells_how_it_starts(make_supervisor: MakeSupervisor) -> None:
    """Loading progress and readiness reach the worker through the callbacks."""
    told: list[object] = []
    supervisor = make_supervisor(
        "FailingEngine", on_progress=lambda *progress: told.append(progress), on_ready=told.append
    )
    assert not supervisor.ready
    supervisor.start()
    assert supervisor.ready
    supervisor.stop()
    assert told == [("reading", 0.5), ("loading nothing", 1.0), {"weights": "none"}]


def test_loads_once_for_many_answers(make_supervisor: MakeSupervisor, tmp_path: Path) -> None:
    """Thirty-two answers at once come from one load of the model, which the metrics count."""
    registry = CollectorRegistry()
    supervisor = make_supervisor("FailingEngine", registry=registry)
    supervisor.start()
    generations = [supervisor.submit(request(f"answer number {n}", id=str(n))) for n in range(32)]
    for number, generation in enumerate(generations):
        assert generation.wait(20)
        assert generation.result() == f"answer number {number}"
    assert loads(tmp_path) == [str(supervisor.pid)]
    assert registry.get_sample_value("fennel_model_loads_total") == 1
    assert registry.get_sample_value("fennel_engine_restarts_total") == 0
    assert registry.get_sample_value("fennel_engine_new_tokens_total") == 96
    assert registry.get_sample_value("fennel_engine_prompt_tokens_total") == 96
    assert registry.get_sample_value("fennel_engine_generations_total", {"finish": "stop"}) == 32


def test_shows_what_runs_and_what_waits(make_supervisor: MakeSupervisor) -> None:
    """The gauges tell answers that grow from prompts that wait for a slot."""
    registry = CollectorRegistry()
    supervisor = make_supervisor("slow_echo", slots=2, registry=registry)
    supervisor.start()
    generations = [supervisor.submit(request(LONG)) for _ in range(5)]
    for generation in generations[:2]:
        wait_for_text(generation)
    assert registry.get_sample_value("fennel_engine_running") == 2
    assert registry.get_sample_value("fennel_engine_waiting") == 3
    assert supervisor.usage.in_flight == 5
    for generation in generations:
        generation.cancel()
    for generation in generations:
        assert generation.wait(10)
    assert registry.get_sample_value("fennel_engine_running") == 0
    assert registry.get_sample_value("fennel_engine_waiting") == 0


def test_cancels_one_and_no_other(make_supervisor: MakeSupervisor) -> None:
    """A cancelled generation ends as such; its neighbour ends in full."""
    supervisor = make_supervisor("slow_echo")
    supervisor.start()
    cancelled, other = supervisor.submit(request(LONG)), supervisor.submit(request("one two three four"))
    wait_for_text(cancelled)
    cancelled.cancel()
    assert cancelled.wait(10)
    with pytest.raises(GenerationCancelledError):
        cancelled.result()
    assert other.wait(10)
    assert other.result() == "one two three four"


def test_the_same_id_may_come_back(make_supervisor: MakeSupervisor) -> None:
    """A request whose earlier try is being cancelled is a generation of its own."""
    supervisor = make_supervisor("slow_echo")
    supervisor.start()
    first = supervisor.submit(request(LONG))
    first.cancel()
    second = supervisor.submit(request("again"))
    assert second.wait(10)
    assert second.result() == "again"
    assert first.wait(10)


def test_stop_while_it_starts(make_supervisor: MakeSupervisor, tmp_path: Path) -> None:
    """Stopping an engine that is still loading ends the start without an error, and without waiting for it."""
    (tmp_path / "how").write_text("hang")
    loading = threading.Event()
    supervisor = make_supervisor("BrokenEngine", on_progress=lambda *_: loading.set())
    starter = threading.Thread(target=supervisor.start)
    starter.start()
    assert loading.wait(20)
    supervisor.stop()
    starter.join(5)
    assert not starter.is_alive()
    assert not supervisor.ready
    assert supervisor.pid is None


def test_stop_ends_the_process_and_its_answers(make_supervisor: MakeSupervisor) -> None:
    """Stopping ends the engine process, fails what was growing, and may be called twice."""
    supervisor = make_supervisor("slow_echo")
    supervisor.start()
    pid = supervisor.pid
    growing = supervisor.submit(request(LONG))
    wait_for_text(growing)
    supervisor.stop()
    supervisor.stop()
    with pytest.raises(EngineDiedError, match="stopped"):
        growing.result()
    assert pid is not None
    assert not psutil.pid_exists(pid)


def test_start_in_a_thread_that_ends(make_supervisor: MakeSupervisor) -> None:
    """An engine started from a short-lived thread outlives it, although the kernel ties it to a thread."""
    supervisor = make_supervisor()
    thread = threading.Thread(target=supervisor.start)
    thread.start()
    thread.join()
    assert supervisor.pid is not None
    with pytest.raises(psutil.TimeoutExpired):
        psutil.Process(supervisor.pid).wait(timeout=0.5)
    generation = supervisor.submit(request("still here"))
    assert generation.wait(10)
    assert generation.result() == "still here"
