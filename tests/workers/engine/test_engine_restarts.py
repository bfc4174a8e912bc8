"""An engine process that dies, hangs or does not start: it is replaced, or given up with a sentence."""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest
from prometheus_client import CollectorRegistry

from tests.workers.engine.conftest import (
    LONG,
    NOTICED_WITHIN_S,
    MakeSupervisor,
    loads,
    request,
    wait_for_text,
    wait_ready,
)
from workers.engine.engine import EngineError, ModelError
from workers.engine.generation import EngineDiedError


@pytest.mark.parametrize(
    ("order", "said"),
    [("die", "SIGKILL"), ("segfault", "SIGSEGV"), ("raise", "ValueError: a fault in the engine")],
)
def test_a_dead_engine_is_replaced(make_supervisor: MakeSupervisor, tmp_path: Path, order: str, said: str) -> None:
    """When the engine process dies, its answers fail within 5 s with the reason, and a fresh one answers again."""
    registry = CollectorRegistry()
    downs: list[str] = []
    supervisor = make_supervisor("FailingEngine", registry=registry, on_down=downs.append)
    supervisor.start()
    growing = supervisor.submit(request(LONG))
    wait_for_text(growing)
    died_at_s = time.monotonic()
    supervisor.submit(request(order))
    assert growing.wait(NOTICED_WITHIN_S)
    assert time.monotonic() - died_at_s < NOTICED_WITHIN_S
    with pytest.raises(EngineDiedError, match=said):
        growing.result()
    wait_ready(supervisor)
    again = supervisor.submit(request("back again"))
    assert again.wait(10)
    assert again.result() == "back again"
    assert len(set(loads(tmp_path))) == 2
    assert registry.get_sample_value("fennel_engine_restarts_total") == 1
    assert registry.get_sample_value("fennel_model_loads_total") == 2
    assert len(downs) == 1
    assert said in downs[0]


def test_kill_from_outside(make_supervisor: MakeSupervisor) -> None:
    """After kill -9 of the engine process nothing of it is left, and the next one answers."""
    supervisor = make_supervisor("slow_echo")
    supervisor.start()
    first_pid = supervisor.pid
    assert first_pid is not None
    growing = supervisor.submit(request(LONG))
    wait_for_text(growing)
    os.kill(first_pid, signal.SIGKILL)
    assert growing.wait(NOTICED_WITHIN_S)
    wait_ready(supervisor)
    assert supervisor.pid != first_pid
    assert not psutil.pid_exists(first_pid)


def test_a_prompt_during_the_restart_is_refused(make_supervisor: MakeSupervisor) -> None:
    """While the engine is being started, a prompt is refused at once and not kept in the dark."""
    down = threading.Event()
    supervisor = make_supervisor("slow_echo", on_down=lambda _: down.set())
    supervisor.start()
    assert supervisor.pid is not None
    os.kill(supervisor.pid, signal.SIGKILL)
    assert down.wait(NOTICED_WITHIN_S)
    with pytest.raises(EngineDiedError, match="being started"):
        supervisor.submit(request("too soon"))


def test_a_hung_engine_is_replaced(make_supervisor: MakeSupervisor) -> None:
    """An engine that makes no step for the time-out is killed, and a fresh one answers."""
    supervisor = make_supervisor("FailingEngine", step_timeout_s=1.5)
    supervisor.start()
    hung = supervisor.submit(request("hang"))
    assert hung.wait(1.5 + NOTICED_WITHIN_S)
    with pytest.raises(EngineDiedError, match=r"no step for 1\.5 s"):
        hung.result()
    wait_ready(supervisor)
    again = supervisor.submit(request("back"))
    assert again.wait(10)
    assert again.result() == "back"


def test_an_idle_engine_is_not_taken_for_hung(make_supervisor: MakeSupervisor) -> None:
    """An engine without work beats often enough that a short step time-out leaves it alone."""
    supervisor = make_supervisor(step_timeout_s=1.2)
    supervisor.start()
    pid = supervisor.pid
    with pytest.raises(psutil.TimeoutExpired):
        psutil.Process(pid).wait(timeout=3)
    assert supervisor.pid == pid


def test_gives_up_after_five_failures(make_supervisor: MakeSupervisor, tmp_path: Path) -> None:
    """After the fifth failure the worker is told, with the reason, and no further engine is started."""
    reasons: queue.SimpleQueue[str] = queue.SimpleQueue()
    supervisor = make_supervisor("FailingEngine", on_give_up=reasons.put)
    supervisor.start()
    for _ in range(5):
        wait_ready(supervisor)
        assert supervisor.submit(request("die")).wait(NOTICED_WITHIN_S)
    reason = reasons.get(timeout=10)
    assert "5 failures in 10 minutes" in reason
    assert "SIGKILL" in reason
    supervisor.stop()
    assert len(loads(tmp_path)) == 5
    with pytest.raises(EngineDiedError):
        supervisor.submit(request("too late"))


@pytest.mark.parametrize(
    ("how", "kind", "said"),
    [
        ("model", ModelError, "the model folder lacks config.json"),
        ("engine", EngineError, "the card is in use"),
        ("exit", EngineError, "exit code 7; its last words: out of luck"),
        ("raise", EngineError, "RuntimeError: unexpected"),
    ],
)
def test_a_start_that_fails(
    make_supervisor: MakeSupervisor, tmp_path: Path, how: str, kind: type[EngineError], said: str
) -> None:
    """A failed start raises one sentence with the reason, and leaves no process behind."""
    (tmp_path / "how").write_text(how)
    supervisor = make_supervisor("BrokenEngine")
    with pytest.raises(kind, match=said) as caught:
        supervisor.start()
    assert "\n" not in str(caught.value)
    assert supervisor.pid is None
    assert not [child for child in psutil.Process().children() if "fennel-engine" in " ".join(child.cmdline())]


def test_a_start_that_hangs(make_supervisor: MakeSupervisor, tmp_path: Path) -> None:
    """A start that takes longer than its time-out raises, and says how far it had come."""
    (tmp_path / "how").write_text("hang")
    supervisor = make_supervisor("BrokenEngine", start_timeout_s=3.0)
    with pytest.raises(EngineError, match=r"not ready within 3 s \(last heard of it: reading, 25%\)"):
        supervisor.start()
    assert supervisor.pid is None


def test_a_model_fault_at_the_restart_is_final(make_supervisor: MakeSupervisor, tmp_path: Path) -> None:
    """When the model cannot be loaded again, nobody tries a second time."""
    (tmp_path / "how").write_text("well")
    reasons: queue.SimpleQueue[str] = queue.SimpleQueue()
    supervisor = make_supervisor("BrokenEngine", on_give_up=reasons.put)
    supervisor.start()
    (tmp_path / "how").write_text("model")
    assert supervisor.submit(request("die")).wait(NOTICED_WITHIN_S)
    assert reasons.get(timeout=20) == "the model folder lacks config.json"


def test_a_failing_callback_does_not_end_the_supervision(make_supervisor: MakeSupervisor) -> None:
    """A worker's callback that raises is logged, and the engine goes on."""

    def fail(about: object) -> None:
        raise OSError("Redis is away")

    supervisor = make_supervisor("FailingEngine", on_ready=fail)
    supervisor.start()
    assert supervisor.submit(request("die")).wait(NOTICED_WITHIN_S)
    wait_ready(supervisor)
    again = supervisor.submit(request("on"))
    assert again.wait(10)
    assert again.result() == "on"
