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
from pathlib import Path
from typing import Any

import redis
from rich.progress import track

from benchmarks import engine, engine_gpu
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
    model = engine_gpu.make_model(engine_gpu.SHAPE)
    model.generation_config.eos_token_id = engine_gpu.SHAPE["vocab_size"] - 1
    model.save_pretrained(folder)
    engine_gpu.make_tokenizer(engine_gpu.SHAPE["vocab_size"]).save_pretrained(folder)


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
        return "x" + "".join(chance.choices(engine_gpu.LETTERS, k=size - 1))

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


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="fresh prompts each, both ways in turn")
    wanted = parser.parse_args()
    on_gpu = engine.has_gpu()
    at_once, characters, new_tokens = (64, 1000, 128) if on_gpu else (8, 200, 32)
    spawn = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fennel-whole-way-")))
        model = "smollm2-135m"
        if on_gpu:
            tell("making a model and writing it")
            model = str(folder / "model")
            with ProcessPoolExecutor(1, spawn) as making:
                making.submit(make_gpu_model, model).result()
        environment = {
            "FENNEL_HOME": str(folder),
            "FENNEL_ENGINE__KIND": "transformers",
            "FENNEL_ENGINE__MODEL": model,
            "FENNEL_ENGINE__MAX_PROMPT_TOKENS": "1100",
            "FENNEL_ENGINE__MAX_NEW_TOKENS": str(new_tokens),
            "FENNEL_WORKER__MAX_IN_FLIGHT": str(at_once),
        }
        os.environ.update(environment)
        settings = load_settings()
        tell("loading the engine alone")
        pool = stack.enter_context(
            ProcessPoolExecutor(1, spawn, initializer=load, initargs=(settings.engine, settings.models_folder, at_once))
        )
        pool.submit(answer_alone, make_texts(2, characters, 0), new_tokens).result()
        tell("starting the worker with its engine")
        server = ValkeyServer()
        stack.callback(server.remove)
        server.start()
        connection = start_worker(stack, server, environment)
        alone, whole, made = [], [], 0
        for seed in track(range(1, wanted.rounds + 1), description="measuring"):
            texts = make_texts(at_once, characters, seed)
            took_s, made = pool.submit(answer_alone, texts, new_tokens).result()
            alone.append(took_s)
            whole.append(answer_whole_way(connection, texts))
    figures = {"engine alone": statistics.median(alone), "the whole way": statistics.median(whole)}
    ratio = figures["engine alone"] / figures["the whole way"]
    print_table(
        f"{at_once} questions at once",
        ["", "seconds", "answers/s", "of the engine alone"],
        [
            ["engine alone", f"{figures['engine alone']:.2f}", at_once / figures["engine alone"], 1],
            ["the whole way", f"{figures['the whole way']:.2f}", at_once / figures["the whole way"], f"{ratio:.2f}"],
        ],
    )
    write_results(
        "whole-way-gpu" if on_gpu else "whole-way",
        {
            "at_once": at_once,
            "new_tokens": made,
            "seconds": figures,
            "rounds": {"alone": alone, "whole": whole},
            "ratio": ratio,
        },
    )


if __name__ == "__main__":
    main()
