"""The engine process under its supervisor: it starts, answers, dies, hangs, and comes back."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from prometheus_client import CollectorRegistry

from tests.workers.engine.conftest import MakeSupervisor, request, wait_for_text, wait_ready
from tests.workers.engine.tiny_models import make_model
from workers.engine.engine import EngineError, ModelError
from workers.engine.generation import EngineDiedError, GenerationCancelledError
from workers.engine.supervisor import EngineSupervisor

LONG = "word " * 150
NOTICED_WITHIN_S = 5.0


def loads(tmp_path: Path) -> list[str]:
    return (tmp_path / "loads").read_text().split()


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


def test_a_model_in_its_own_process(tmp_path: Path) -> None:
    """A worker whose engine runs a model of transformers imports none of that itself, and loads it once."""
    make_model(tmp_path / "model")
    with start_worker(tmp_path, "leave", f"kind='transformers', model={str(tmp_path / 'model')!r}") as worker:
        assert read_line(worker).split(maxsplit=1)[1].endswith(" [] loads 1.0")
        assert worker.wait(20) == 0


WORKER = """
import os, signal, sys, threading
from pathlib import Path
from prometheus_client import CollectorRegistry
from tests.workers.engine.conftest import engine_settings, request
from workers.engine.supervisor import EngineSupervisor

def main():
    registry = CollectorRegistry()
    supervisor = EngineSupervisor(engine_settings({settings}), Path(sys.argv[1]), slots=2, registry=registry)
    if sys.argv[2] == "signalled":
        signal.signal(signal.SIGINT, lambda *_: None)
        print("worker: starting", flush=True)
    supervisor.start()
    generation = supervisor.submit(request("a b"))
    assert generation.wait(10)
    loads = registry.get_sample_value("fennel_model_loads_total")
    heavy = [name for name in ("torch", "transformers", "numpy") if name in sys.modules]
    print('worker:', supervisor.pid, repr(generation.result()), heavy, 'loads', loads, flush=True)
    if sys.argv[2] != "leave":
        sys.stdin.read()

if __name__ == "__main__":
    main()
"""


def start_worker(tmp_path: Path, how: str, settings: str = "") -> subprocess.Popen[str]:
    script = tmp_path / "worker.py"
    script.write_text(WORKER.replace("{settings}", settings))
    return subprocess.Popen(
        [sys.executable, str(script), str(tmp_path), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        start_new_session=True,
    )


def read_line(worker: subprocess.Popen[str]) -> str:
    """The worker's next line of its own; its log goes to stdout as well."""
    assert worker.stdout is not None
    for line in worker.stdout:
        if line.startswith("worker: "):
            return line.removeprefix("worker: ").strip()
    raise EOFError("the worker has ended")


def test_the_worker_imports_nothing_heavy(tmp_path: Path) -> None:
    """A process that supervises an engine imports neither torch nor transformers nor numpy, and can simply exit."""
    with start_worker(tmp_path, "leave") as worker:
        pid, rest = read_line(worker).split(maxsplit=1)
        assert rest == "'a b' [] loads 1.0"
        assert worker.wait(20) == 0
    assert not psutil.pid_exists(int(pid))


def test_the_engine_dies_with_its_worker(tmp_path: Path) -> None:
    """After kill -9 of the worker its engine process is gone too."""
    with start_worker(tmp_path, "stay") as worker:
        engine = psutil.Process(int(read_line(worker).split()[0]))
        worker.kill()
        assert worker.wait(10) == -signal.SIGKILL
        engine.wait(timeout=NOTICED_WITHIN_S)
    assert not engine.is_running()


def test_ctrl_c_leaves_the_engine_alone(tmp_path: Path) -> None:
    """SIGINT and SIGTERM to the whole group, from its first moment on, do not end the engine process."""
    with start_worker(tmp_path, "signalled") as worker:
        assert read_line(worker) == "starting"
        started_at_s = time.monotonic()
        engine_line: list[str] = []
        reader = threading.Thread(target=lambda: engine_line.append(read_line(worker)))
        reader.start()
        while not engine_line and time.monotonic() - started_at_s < 20:
            os.killpg(worker.pid, signal.SIGINT)
            time.sleep(0.02)
        reader.join()
        pid = int(engine_line[0].split()[0])
        assert psutil.Process(pid).is_running()
        os.kill(pid, signal.SIGTERM)
        os.killpg(worker.pid, signal.SIGINT)
        with pytest.raises(psutil.TimeoutExpired):
            psutil.Process(pid).wait(timeout=0.5)
        assert worker.stdin is not None
        worker.stdin.close()
        assert worker.wait(20) == 0


def test_refuses_a_process_that_has_touched_cuda(
    make_supervisor: MakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker in which CUDA is initialised is refused before any process is started, with cause and cure."""

    class Cuda:
        def is_initialized(self) -> bool:
            return True

    class Torch:
        cuda = Cuda()

    monkeypatch.setitem(sys.modules, "torch", Torch())
    supervisor: EngineSupervisor = make_supervisor()
    with pytest.raises(EngineError, match=r"has initialised CUDA already: .* take whatever uses torch out"):
        supervisor.start()
    assert supervisor.pid is None
