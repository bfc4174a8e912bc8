"""The engine process beside its worker's: what each of them imports, and which signals and ends it shares."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from config.environment import CHECKOUT
from tests.workers.engine.conftest import NOTICED_WITHIN_S, MakeSupervisor
from tests.workers.engine.tiny_models import make_model
from workers.engine.engine import EngineError
from workers.engine.supervisor import EngineSupervisor


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
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
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
