"""``python -m workers``, whole: Redis, queue, knowledge, gate, pipeline and a real engine process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from config.environment import CHECKOUT
from config.redis_users import Role
from contract import names
from contract.answer import FinalAnswer, Outcome, PartialAnswer
from tests.document_home import QUESTION, add_document
from tests.valkey import ValkeyServer
from tests.workers.questions import ask, wait_for_finals


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder with one document in its knowledge base."""
    folder = tmp_path_factory.mktemp("home")
    add_document(folder)
    return folder


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(valkey: ValkeyServer, home: Path) -> Iterator[Start]:
    """Start ``python -m workers`` with the echo engine and these settings besides."""
    started: list[subprocess.Popen[str]] = []

    def start_one(*arguments: str, **settings: str) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "FENNEL_HOME": str(home),
            "FENNEL_REDIS__URL": valkey.url_of(Role.WORKER),
            "FENNEL_ENGINE__KIND": "echo",
            **settings,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "workers", *arguments],
            cwd=CHECKOUT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start_one
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait(20)
        if process.stdout:
            process.stdout.close()


@pytest.fixture
def connection(valkey: ValkeyServer) -> Iterator[redis.Redis]:
    """A client of the session's server."""
    with redis.Redis.from_url(valkey.url) as client:
        yield client


def wait_for_state(connection: redis.Redis, state: bytes, timeout_s: float = 60) -> None:
    end_s = time.monotonic() + timeout_s
    while (is_now := connection.hget(names.engine_key("worker_0"), "state")) != state:
        assert time.monotonic() < end_s, f"the engine is {is_now!r}, not {state!r}"
        time.sleep(0.05)


def lines_until(worker: subprocess.Popen[str], words: str) -> list[str]:
    """What the worker prints, up to the line with these words."""
    assert worker.stdout is not None
    lines: list[str] = []
    while not lines or words not in lines[-1]:
        lines.append(worker.stdout.readline())
        assert lines[-1], "it has ended"
    return lines


def engine_of(worker: subprocess.Popen[str]) -> psutil.Process:
    children = psutil.Process(worker.pid).children()
    (engine,) = [child for child in children if "multiprocessing.spawn" in " ".join(child.cmdline())]
    return engine


def test_a_question_goes_the_whole_way(start: Start, connection: redis.Redis) -> None:
    """Queue, search, gate, engine and back: the answer quotes the right document, and partial texts came before it."""
    start()
    question = ask(connection, QUESTION)
    (final,) = wait_for_finals(connection, 1, timeout_s=60)

    assert final.outcome is Outcome.ANSWERED
    assert final.question == question.to_wire()
    assert "six minutes" in final.text
    assert ["Tide gauges" in citation.title for citation in final.citations] == [True]
    entries: Any = connection.xrange(names.partials_stream("test"))
    partials = [PartialAnswer.from_wire(fields[b"partial"]) for _, fields in entries]
    assert partials[0] == PartialAnswer(question.id, "")
    assert all(final.text.startswith(partial.text) for partial in partials)
    assert 0 < final.first_text_ms <= final.total_ms


def test_what_no_document_answers_is_not_found(start: Start, connection: redis.Redis) -> None:
    """The gate refuses before the model is asked."""
    start()
    ask(connection, "Who won the chess world championship in 1972?")

    assert [final.outcome for final in wait_for_finals(connection, 1, timeout_s=60)] == [Outcome.NOT_FOUND]


def test_the_rq_process_imports_no_torch(start: Start, connection: redis.Redis) -> None:
    """Only the engine process may touch a GPU: no library of torch is mapped into the worker's own process."""
    worker = start()
    wait_for_state(connection, b"ready")
    maps = Path(f"/proc/{worker.pid}/maps").read_text()

    assert "libtorch" not in maps


def test_an_engine_killed_in_the_middle_of_an_answer_costs_no_answer(start: Start, connection: redis.Redis) -> None:
    """After `kill -9` of the engine process the question is answered by the next one, without a hand."""
    worker = start()
    wait_for_state(connection, b"ready")
    questions = [ask(connection, QUESTION) for _ in range(8)]
    end_s = time.monotonic() + 20
    while not connection.xlen(names.partials_stream("test")):
        assert time.monotonic() < end_s
        time.sleep(0.005)
    first = engine_of(worker).pid
    os.kill(first, signal.SIGKILL)
    answered: list[FinalAnswer] = wait_for_finals(connection, len(questions), timeout_s=60)

    assert sorted(question.to_wire() for question in questions) == sorted(final.question for final in answered)
    assert {Outcome.ANSWERED} == {final.outcome for final in answered}
    wait_for_state(connection, b"ready")
    assert engine_of(worker).pid != first


def test_the_engine_ends_with_its_worker(start: Start, connection: redis.Redis) -> None:
    """After `kill -9` of the worker no engine process is left, and so no GPU memory."""
    worker = start()
    wait_for_state(connection, b"ready")
    engine = engine_of(worker)
    worker.kill()
    worker.wait()

    engine.wait(timeout=10)


def test_a_worker_waits_for_redis(start: Start, make_valkey: Callable[[], ValkeyServer]) -> None:
    """Started before Redis it says so once, and takes questions when Redis is there."""
    server = make_valkey()
    server.stop()
    worker = start(FENNEL_REDIS__URL=server.url_of(Role.WORKER))
    printed = lines_until(worker, "waiting for Redis")
    server.start()
    printed += lines_until(worker, "the worker takes questions")

    assert "".join(printed).count("waiting for Redis") == 1


def test_sigterm_while_the_model_loads_ends_at_once(start: Start, connection: redis.Redis) -> None:
    """A worker that is stopped before it is ready ends with code 0."""
    worker = start()
    end_s = time.monotonic() + 60
    while connection.hget("rq:worker:worker_0", "state") != b"idle":
        assert time.monotonic() < end_s
        time.sleep(0.02)
    worker.send_signal(signal.SIGTERM)

    assert worker.wait(20) == 0


def test_a_second_interrupt_ends_it_at_once_and_loses_nothing(start: Start, connection: redis.Redis) -> None:
    """Ctrl-C twice does not wait for the answer in hand; the worker's next start under its name answers it."""
    worker = start(FENNEL_WORKER__DRAIN_S="300")
    wait_for_state(connection, b"ready")
    os.kill(engine_of(worker).pid, signal.SIGSTOP)  # an answer that does not end
    question = ask(connection, QUESTION)
    end_s = time.monotonic() + 20
    while connection.hget(names.job_key(question.id), "status") != b"started":
        assert time.monotonic() < end_s
        time.sleep(0.01)
    worker.send_signal(signal.SIGINT)
    lines_until(worker, "finishes what is in hand")
    worker.send_signal(signal.SIGINT)

    assert worker.wait(15) == 0
    start()
    (final,) = wait_for_finals(connection, 1, timeout_s=60)
    assert final.outcome is Outcome.ANSWERED


def test_a_model_that_cannot_be_loaded_is_told_where_people_look(
    start: Start, connection: redis.Redis, tmp_path: Path
) -> None:
    """A folder that lacks files: the state in Redis says failed and why, and the exit code is not 0."""
    worker = start(FENNEL_ENGINE__KIND="transformers", FENNEL_ENGINE__MODEL=str(tmp_path))
    wait_for_state(connection, b"failed")

    assert b"config.json" in (connection.hget(names.engine_key("worker_0"), "error") or b"")
    assert worker.wait(30) == 1


def test_a_wrong_setting_is_one_sentence(start: Start) -> None:
    """No traceback, and the key's name."""
    worker = start(FENNEL_WORKER__DRAIN_S="soon")

    assert worker.wait(30) == 1
    assert worker.stdout is not None
    said = worker.stdout.read()
    assert "FENNEL_WORKER__DRAIN_S='soon' cannot be used" in said
    assert "Traceback" not in said
