"""On a machine with a GPU: the failure that must never happen, shown, and our worker, which cannot have it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from config.environment import CHECKOUT
from contract import names
from contract.answer import Outcome
from tests.document_home import QUESTION, add_document
from tests.valkey import ValkeyServer
from tests.workers.questions import ask, wait_for_finals

pytestmark = pytest.mark.gpu


def run_python(code: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a program of its own, so that nothing here has touched CUDA before it."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=timeout_s, cwd=CHECKOUT
    )


def gpu_memory_mib() -> int:
    """Memory in use on the first GPU, whoever uses it."""
    said = subprocess.run(
        ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return int(said.splitlines()[0])


def test_a_fork_after_cuda_was_initialised_cannot_use_it() -> None:
    """The RuntimeError that users of a forking program read after minutes of loading weights."""
    ended = run_python("""
        import multiprocessing, torch
        torch.zeros(1, device="cuda")
        def use():
            torch.zeros(1, device="cuda")
        child = multiprocessing.get_context("fork").Process(target=use)
        child.start(); child.join(); print("exit code", child.exitcode)
    """)

    assert "Cannot re-initialize CUDA in forked subprocess" in ended.stderr
    assert "exit code 1" in ended.stdout


def test_a_parent_that_has_touched_cuda_may_not_start_an_engine() -> None:
    """The supervisor refuses with the cause and the cure, and does not hang."""
    ended = run_python("""
        from pathlib import Path
        import torch
        from config.loading import load_settings
        from workers.engine.supervisor import EngineSupervisor
        torch.zeros(1, device="cuda")
        try:
            EngineSupervisor(load_settings().engine, Path("."), slots=1).start()
        except Exception as error:
            print(type(error).__name__, error)
    """)

    assert "EngineError" in ended.stdout
    assert "has initialised CUDA already" in ended.stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder with one document, and a tiny model beside it, made in a process of its own."""
    folder = tmp_path_factory.mktemp("home")
    add_document(folder)
    made = run_python(f"""
        from pathlib import Path
        from tests.workers.engine.tiny_models import ARCHITECTURES, make_model
        # Its tokens are bytes, so a prompt has many of them.
        ARCHITECTURES["llama"][0].max_position_embeddings = 8192
        make_model(Path({str(folder / "model")!r}))
    """)
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture
def worker(valkey: ValkeyServer, home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker whose model is on the GPU."""
    process = subprocess.Popen(
        [sys.executable, "-m", "workers"],
        cwd=CHECKOUT,
        env={
            **os.environ,
            "FENNEL_HOME": str(home),
            "FENNEL_REDIS__URL": valkey.url,
            "FENNEL_ENGINE__MODEL": str(home / "model"),
            "FENNEL_ENGINE__DEVICE": "cuda",
            "FENNEL_ENGINE__MAX_PROMPT_TOKENS": "6000",
            "FENNEL_WORKER__MAX_IN_FLIGHT": "32",
        },
    )
    yield process
    process.terminate()
    process.wait(60)


@pytest.fixture
def connection(valkey: ValkeyServer) -> Iterator[redis.Redis]:
    """A client of the session's server."""
    with redis.Redis.from_url(valkey.url) as client:
        yield client


def engine_fields(connection: redis.Redis) -> dict[bytes, bytes]:
    fields: Any = connection.hgetall(names.engine_key("worker_0"))
    return dict(fields)


def wait_ready(worker: subprocess.Popen[bytes], connection: redis.Redis, loads: bytes) -> None:
    end_s = time.monotonic() + 120
    while (fields := engine_fields(connection)).get(b"state") != b"ready" or fields.get(b"loads") != loads:
        assert worker.poll() is None, "the worker ended"
        assert time.monotonic() < end_s, fields
        time.sleep(0.1)


def engine_of(worker: subprocess.Popen[bytes]) -> psutil.Process:
    children = psutil.Process(worker.pid).children()
    (engine,) = [child for child in children if "multiprocessing.spawn" in " ".join(child.cmdline())]
    return engine


@pytest.mark.timeout(300)
def test_a_hundred_questions_are_answered_with_one_load(
    worker: subprocess.Popen[bytes], connection: redis.Redis
) -> None:
    """The model is loaded exactly once, on the GPU, and the worker's own process has no torch in it."""
    wait_ready(worker, connection, b"1")
    for _ in range(100):
        ask(connection, QUESTION)
    outcomes = {final.outcome for final in wait_for_finals(connection, 100, timeout_s=120)}

    assert outcomes == {Outcome.ANSWERED}
    assert engine_fields(connection)[b"loads"] == b"1"
    assert b"cuda" in engine_fields(connection)[b"device"]
    assert "libtorch" not in Path(f"/proc/{worker.pid}/maps").read_text()


@pytest.mark.timeout(300)
def test_a_killed_engine_gives_its_gpu_memory_back_and_the_worker_recovers(
    worker: subprocess.Popen[bytes], connection: redis.Redis
) -> None:
    """After `kill -9` nothing of the engine is left on the GPU, and the next one answers what was in flight."""
    free_mib = gpu_memory_mib()
    wait_ready(worker, connection, b"1")
    loaded_mib = gpu_memory_mib()
    questions = [ask(connection, QUESTION) for _ in range(16)]
    engine = engine_of(worker)
    os.kill(engine.pid, signal.SIGSTOP)
    worker_children = psutil.Process(worker.pid)
    os.kill(engine.pid, signal.SIGKILL)
    engine.wait(20)
    answered = {final.question for final in wait_for_finals(connection, 16, timeout_s=120)}
    wait_ready(worker, connection, b"2")

    assert answered == {question.to_wire() for question in questions}
    assert loaded_mib > free_mib
    # One engine is there again, and not two.
    assert gpu_memory_mib() < free_mib + 1.5 * (loaded_mib - free_mib)
    assert len(worker_children.children()) <= 2
    worker.terminate()
    worker.wait(60)
    assert gpu_memory_mib() <= free_mib + 64
