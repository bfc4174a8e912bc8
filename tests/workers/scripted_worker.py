"""A real worker whose answers are scripted by the question's own text, in this process or in one of its own.

``sleep:S`` answers after S seconds, ``fail`` raises, ``endless`` waits until it is stopped, ``turns`` answers with what
the thread remembers, ``stuck:S`` cannot be stopped for S seconds, ``engine-dies`` loses its engine.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import redis

from config.environment import CHECKOUT
from config.loading import load_settings
from config.settings import Settings
from contract.question import Question
from contract.turn import Turn
from tests.workers.plain_answer import PlainAnswer
from workers.answerer import Answerer
from workers.engine.engine import ChatTurn, GenerationEvent, GenerationRequest
from workers.engine.generation import EngineDiedError, Generate, Generation, Publish
from workers.outbox import Outbox
from workers.worker import QuestionWorker

RUNS_KEY = "test:runs"


class ScriptedPipeline:
    """Does what the question says, and remembers how many it did at a time."""

    def __init__(self, connection: redis.Redis) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self.now = 0
        self.peak = 0

    def answer(self, question: Question, turns: Sequence[Turn], generate: Generate, publish: Publish) -> PlainAnswer:
        """Answer as the text says."""
        with self._lock:
            self.now += 1
            self.peak = max(self.peak, self.now)
        with suppress(redis.RedisError):
            self._connection.rpush(RUNS_KEY, question.id)
        try:
            return self._answer(question, turns, generate, publish)
        finally:
            with self._lock:
                self.now -= 1

    def _answer(self, question: Question, turns: Sequence[Turn], generate: Generate, publish: Publish) -> PlainAnswer:
        what, _, seconds = question.text.partition(":")
        if what == "fail":
            raise ValueError("scripted to fail")
        if what == "engine-dies":
            raise EngineDiedError("scripted: the engine died")
        if what == "turns":
            return PlainAnswer(" | ".join(f"{turn.question} -> {turn.answer}" for turn in turns))
        if what == "stuck":
            time.sleep(float(seconds))
            return PlainAnswer("at last")
        generation = generate(GenerationRequest(question.id, (ChatTurn("user", question.text),), 10))
        publish("growing")
        if what == "sleep":
            threading.Timer(float(seconds), generation.feed, [GenerationEvent(question.id, "done", "stop")]).start()
        while not generation.wait(30):
            pass
        return PlainAnswer(f"{question.text} {generation.result()}")


def scripted_submit(request: GenerationRequest) -> Generation:
    """An engine whose generations are ended by the pipeline, or cancelled."""
    generation = Generation(request.id, lambda: generation.feed(GenerationEvent(request.id, finish="cancelled")))
    return generation


def make_worker(url: str, name: str, settings: Settings) -> tuple[QuestionWorker, ScriptedPipeline]:
    """A worker with a scripted pipeline."""
    connection = redis.Redis.from_url(url)
    # What it writes down is the test's, and no worker's to write.
    pipeline = ScriptedPipeline(redis.Redis.from_url(f"unix://{urlsplit(url).path}"))
    answerer = Answerer(
        redis.Redis.from_url(url), pipeline, Outbox(redis.Redis.from_url(url)), scripted_submit, settings
    )
    return QuestionWorker(name, connection, answerer, settings, ready=lambda: True), pipeline


def worker_settings(**changes: float) -> Settings:
    """The default settings with short times."""
    settings = load_settings()
    short = {"lease_s": 2.0, "drain_s": 10.0, "max_in_flight": 4, **changes}
    return settings.model_copy(update={"worker": settings.worker.model_copy(update=short)})


class WorkerThread:
    """A worker in a thread of this process; stops at the end of the ``with``."""

    def __init__(self, url: str, name: str = "worker_0", **changes: float) -> None:
        self.worker, self.pipeline = make_worker(url, name, worker_settings(**changes))
        self._thread = threading.Thread(target=self.worker.work, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.worker.request_stop(signal.SIGTERM, None)
        self._thread.join(timeout=20)
        assert not self._thread.is_alive()


class WorkerProcess:
    """A worker in a process of its own, to be killed; killed at the end of the ``with``."""

    def __init__(self, url: str, name: str = "worker_0", **changes: float) -> None:
        arguments = [f"--{key}={value}" for key, value in changes.items()]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.workers.scripted_worker", url, name, *arguments],
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def wait(self, timeout_s: float = 20) -> int:
        """The exit code."""
        return self.process.wait(timeout_s)

    def output(self) -> str:
        """Everything it printed, once it has ended."""
        return self.process.communicate(timeout=20)[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        if self.process.stdout:
            self.process.stdout.close()


def main() -> int:
    """Run one worker until it is stopped."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("name")
    for key in ("lease_s", "drain_s", "max_in_flight", "max_reclaims"):
        parser.add_argument(f"--{key}", type=int if key.startswith("max") else float)
    given = {key: value for key, value in vars(parser.parse_args()).items() if value is not None}
    worker, _ = make_worker(given.pop("url"), given.pop("name"), worker_settings(**given))
    worker.work()
    return worker.exit_code


if __name__ == "__main__":
    os.environ.pop("PYTEST_CURRENT_TEST", None)
    sys.exit(main())
