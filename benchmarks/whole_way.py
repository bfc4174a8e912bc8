"""What the way costs: questions through Redis, RQ, the worker and its engine process, beside the engine alone.

``python -m benchmarks.whole_way``: 64 prompts at once, in turn; on a GPU with a model of 7.6 thousand million random
weights, without one with the built-in model and fewer prompts. The engine alone steps in one process, without a pipe.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from rich.progress import track

from benchmarks import engine, gpu_model
from benchmarks.report import print_table, write_results
from benchmarks.whole_way_worker import BETWEEN, request_of
from config.loading import load_settings
from config.sections import EngineSettings
from contract import names
from contract.answer import FinalAnswer, Outcome
from tests.valkey import ValkeyServer
from tests.workers.questions import ask

START_TIMEOUT_S = 300.0
_subjects: list[Any] = []


def make_gpu_model(folder: str) -> None:
    """Write a model of random weights with its tokenizer, in a process of its own."""
    model = gpu_model.make_model(gpu_model.SHAPE)
    model.generation_config.eos_token_id = gpu_model.SHAPE["vocab_size"] - 1
    model.save_pretrained(folder)
    gpu_model.make_tokenizer(gpu_model.SHAPE["vocab_size"]).save_pretrained(folder)


def tell(doing: str) -> None:
    """Say what takes the time before the measuring."""
    print(f"{time.strftime('%H:%M:%S')} {doing}", flush=True)


def load(settings: EngineSettings, models_folder: Path, slots: int) -> None:
    """Load the engine of this process."""
    from workers.engine.engines.transformers import TransformersEngine

    subject = TransformersEngine(settings, models_folder, slots)
    subject.load(lambda what, share: None)
    _subjects.append(subject)


def answer_alone(texts: list[str], new_tokens: int) -> tuple[float, int]:
    """Answer all at once: the time it took, and the tokens that were made."""
    (subject,) = _subjects
    made = 0
    started_s = time.perf_counter()
    for number, text in enumerate(texts):
        subject.add(request_of(str(number), text, new_tokens))
    while subject.busy:
        for event in subject.step():
            assert event.finish in (None, "length", "stop"), event
            made += event.new_tokens if event.finish else 0
    return time.perf_counter() - started_s, made


def answer_whole_way(connection: redis.Redis, texts: list[str]) -> float:
    """Ask all at once and wait for the last answer in the stream: the time it took."""
    stream = names.answers_stream("test")
    before = connection.xlen(stream)
    started_s = time.perf_counter()
    for text in texts:
        ask(connection, text, timeout=600)
    while connection.xlen(stream) < before + len(texts):
        time.sleep(0.002)
    took_s = time.perf_counter() - started_s
    entries: Any = connection.xrevrange(stream, count=len(texts))
    for _, fields in entries:
        final = FinalAnswer.from_wire(fields[b"final"])
        assert final.outcome is Outcome.ANSWERED, final
    return took_s


def make_texts(count: int, characters: int, seed: int) -> list[str]:
    """Prompts of single letters, the first quarter of which is the same in all of a round."""
    import random

    chance = random.Random(seed)

    def text(size: int) -> str:
        return "x" + "".join(chance.choices(gpu_model.LETTERS, k=size - 1))

    shared = text(characters // 4)
    return [shared + BETWEEN + text(characters - characters // 4) for _ in range(count)]


def start_worker(stack: ExitStack, server: ValkeyServer, environment: dict[str, str]) -> redis.Redis:
    """Start Redis' client and the worker; returns when its engine is ready, which is when it takes a question."""
    connection: redis.Redis = stack.enter_context(redis.Redis.from_url(server.url))
    worker = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.whole_way_worker", server.url], env={**os.environ, **environment}
    )
    stack.callback(worker.wait, 60)
    stack.callback(worker.terminate)
    ask(connection, f"hello{BETWEEN}hello", timeout=600)
    end_s = time.monotonic() + START_TIMEOUT_S
    while not connection.xlen(names.answers_stream("test")):
        if worker.poll() is not None or time.monotonic() > end_s:
            raise RuntimeError("the worker did not start")
        time.sleep(0.1)
    return connection


@dataclass(frozen=True)
class Load:
    """How much is asked at once, and of which model."""

    at_once: int
    characters: int
    new_tokens: int
    model: str

    def environment(self, home: Path) -> dict[str, str]:
        """The settings of the worker and of the engine alone."""
        return {
            "FENNEL_HOME": str(home),
            "FENNEL_ENGINE__KIND": "transformers",
            "FENNEL_ENGINE__MODEL": self.model,
            "FENNEL_ENGINE__MAX_PROMPT_TOKENS": "1100",
            "FENNEL_ENGINE__MAX_NEW_TOKENS": str(self.new_tokens),
            "FENNEL_WORKER__MAX_IN_FLIGHT": str(self.at_once),
        }


def choose_load(folder: Path, on_gpu: bool) -> Load:
    """What this machine can do; a GPU's model is written below the folder."""
    if not on_gpu:
        return Load(8, 200, 32, "smollm2-135m")
    tell("making a model and writing it")
    model = str(folder / "model")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as making:
        making.submit(make_gpu_model, model).result()
    return Load(64, 1000, 128, model)


def measure(asked: Load, home: Path, rounds: int) -> tuple[list[float], list[float], int]:
    """Seconds of each round for the engine alone and for the whole way, and the tokens of a round's answers."""
    environment = asked.environment(home)
    os.environ.update(environment)
    settings = load_settings()
    alone, whole, made = [], [], 0
    with ExitStack() as stack:
        tell("loading the engine alone")
        arguments = (settings.engine, settings.models_folder, asked.at_once)
        spawn = multiprocessing.get_context("spawn")
        pool = stack.enter_context(ProcessPoolExecutor(1, spawn, initializer=load, initargs=arguments))
        pool.submit(answer_alone, make_texts(2, asked.characters, 0), asked.new_tokens).result()
        tell("starting the worker with its engine")
        server = ValkeyServer()
        stack.callback(server.remove)
        server.start()
        connection = start_worker(stack, server, environment)
        for seed in track(range(1, rounds + 1), description="measuring"):
            texts = make_texts(asked.at_once, asked.characters, seed)
            took_s, made = pool.submit(answer_alone, texts, asked.new_tokens).result()
            alone.append(took_s)
            whole.append(answer_whole_way(connection, texts))
    return alone, whole, made


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="fresh prompts each, both ways in turn")
    wanted = parser.parse_args()
    on_gpu = engine.has_gpu()
    with tempfile.TemporaryDirectory(prefix="fennel-whole-way-") as folder:
        chosen = choose_load(Path(folder), on_gpu)
        alone, whole, made = measure(chosen, Path(folder), wanted.rounds)
    figures = {"engine alone": statistics.median(alone), "the whole way": statistics.median(whole)}
    ratio = figures["engine alone"] / figures["the whole way"]
    shares = {"engine alone": "1", "the whole way": f"{ratio:.2f}"}
    print_table(
        f"{chosen.at_once} questions at once",
        ["", "seconds", "answers/s", "of the engine alone"],
        [[name, f"{took_s:.2f}", chosen.at_once / took_s, shares[name]] for name, took_s in figures.items()],
    )
    write_results(
        "whole-way-gpu" if on_gpu else "whole-way",
        {
            "at_once": chosen.at_once,
            "new_tokens": made,
            "seconds": figures,
            "rounds": {"alone": alone, "whole": whole},
            "ratio": ratio,
        },
    )


if __name__ == "__main__":
    main()
