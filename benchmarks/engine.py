"""How fast the engine answers: many questions at once, one after another, first text, start-up and memory.

``python -m benchmarks.engine``: the engine in float32 and int8 beside `generate` of transformers, its continuous
batching, and llama.cpp where that is installed (the extra `bench`), on the same prompts.
Each subject runs in a process of its own, and they take turns. Answers are compared with those of `generate`.
On a machine with a GPU it measures that instead, with another model and load: see `engine_gpu.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from rich.progress import track

from benchmarks import engine_gpu, engine_llama
from benchmarks.engine_subjects import MOST_NEW_TOKENS, BatchingSubject, EngineSubject, GenerateSubject
from benchmarks.report import print_table, write_results
from config.loading import load_settings
from config.sections import EngineSettings
from workers.engine.engine import ChatTurn, GenerationRequest
from workers.engine.supervisor import EngineSupervisor

GENERATE, FLOAT32, INT8 = "generate, float32", "engine, float32", "engine, int8"
BATCHING = "continuous batching of transformers, float32"
MANY, AT_ONCE = 16, 8
RAG_PROMPT_WORDS, FIRST_TEXT_PROMPT_WORDS = 240, 370  # some 270 and 400 tokens in the chat template
NEW_TOKENS = (16, MOST_NEW_TOKENS)
LONG_PROMPT_WORDS, LONG_NEW_TOKENS = 1165, 80  # some 1,200 tokens
QUEUED = 64  # that come at once where MANY grow at once
ROUNDS = 3
WORD_LIST = (
    "the a of to in and is for on with at by from as it that this be are was time year people way day man "
    "thing world life hand part child eye woman place work week case point company number group problem "
    "fact water room area money story month lot right study book word business issue side kind head house "
    "service friend power hour game line end law car city name team minute idea body information back "
    "parent face others level office "
)
WORDS = WORD_LIST.split()


@dataclass(frozen=True)
class Workload:
    """The prompts of one round: fresh each round, the same for each subject."""

    many: tuple[GenerationRequest, ...]
    eight: tuple[GenerationRequest, ...]
    first_text: tuple[GenerationRequest, ...]
    long: GenerationRequest
    queued: tuple[GenerationRequest, ...]


def make_workload(seed: int) -> Workload:
    """Random words; answers of random length, 55 tokens on average."""
    chance = random.Random(seed)

    def ask(name: str, words: int, new_tokens: int) -> GenerationRequest:
        text = " ".join(chance.choices(WORDS, k=words))
        return GenerationRequest(name, (ChatTurn("user", text),), new_tokens)

    def around(words: int) -> int:
        return chance.randint(round(words * 0.8), round(words * 1.2))

    return Workload(
        tuple(ask(f"many-{n}", around(RAG_PROMPT_WORDS), chance.randint(*NEW_TOKENS)) for n in range(MANY)),
        tuple(ask(f"eight-{n}", around(RAG_PROMPT_WORDS), 55) for n in range(AT_ONCE)),
        tuple(ask(f"first-{n}", FIRST_TEXT_PROMPT_WORDS, 2) for n in range(3)),
        ask("long", LONG_PROMPT_WORDS, LONG_NEW_TOKENS),
        tuple(ask(f"queued-{n}", around(RAG_PROMPT_WORDS), chance.randint(*NEW_TOKENS)) for n in range(QUEUED)),
    )


# --- in the process of a subject

_subjects: list[Any] = []


def prepare(kind: str, settings: EngineSettings, models_folder: Path) -> None:
    """Load the one subject of this process."""
    makers = {GENERATE: GenerateSubject, BATCHING: BatchingSubject, engine_llama.NAME: engine_llama.LlamaSubject}
    _subjects.append(makers.get(kind, EngineSubject)(settings, models_folder, MANY))


def measure(seed: int) -> dict[str, Any]:
    """The figures of one round."""
    (subject,) = _subjects
    work = make_workload(seed)
    many_s, first_s, texts = subject.answer(work.many)
    in_turn_s = sum(subject.answer([one])[0] for one in work.eight)
    more = {"step_ms": statistics.median(subject.steps_s) * 1e3} if subject.steps_s else {}
    if isinstance(subject, EngineSubject):
        more["bound_s"] = subject.bound_s(work.many)
    return more | {
        "many_s": many_s,
        "tokens_per_s": sum(one.max_new_tokens for one in work.many) / many_s,
        "first_text_p50_s": statistics.median(first_s),
        "first_text_max_s": max(first_s),
        "one_after_another_s": in_turn_s,
        # One that answers in turn whatever comes need not do it twice.
        "at_once_s": in_turn_s if type(subject) is GenerateSubject else subject.answer(work.eight)[0],
        "long_alone_s": subject.answer([work.long])[0],
        "alone_first_text_s": min(subject.answer([one])[1][0] for one in work.first_text),
        "memory_mb": psutil.Process().memory_info().rss / 1e6,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
        "texts": texts,
    }


def measure_queued(seed: int) -> dict[str, float]:
    """More at once than grow at once: the others wait."""
    took_s, first_s, _ = _subjects[0].answer(make_workload(seed).queued)
    return {"answers_per_s": QUEUED / took_s, "first_text_p50_s": statistics.median(first_s)}


# --- in the main process


def has_gpu() -> bool:
    """Whether torch sees a GPU here."""
    import torch

    return torch.cuda.is_available()


def measure_start(settings: EngineSettings, models_folder: Path) -> float:
    """Seconds from the start of an engine process to its readiness."""
    supervisor = EngineSupervisor(settings, models_folder, slots=AT_ONCE)
    started_s = time.perf_counter()
    supervisor.start()
    took_s = time.perf_counter() - started_s
    supervisor.stop()
    return took_s


def measure_subjects(
    settings: EngineSettings, models_folder: Path, seeds: Sequence[int]
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, float]]:
    """All rounds of all subjects, in turn, so that whatever else the machine does meets each of them.

    And what the engine does in 8 bits with more questions at once than grow at once.
    """
    spawn = multiprocessing.get_context("spawn")
    with contextlib.ExitStack() as stack:
        pools = {}
        llama = [engine_llama.NAME] if engine_llama.available() else []
        for kind in (GENERATE, BATCHING, FLOAT32, INT8, *llama):
            own = settings.model_copy(update={"dtype": "int8" if kind == INT8 else "float32"})
            pool = ProcessPoolExecutor(1, spawn, initializer=prepare, initargs=(kind, own, models_folder))
            pools[kind] = stack.enter_context(pool)
        rounds: dict[str, list[dict[str, Any]]] = {kind: [] for kind in pools}
        for seed in track(seeds, description="measuring"):
            for kind, pool in pools.items():
                one = pool.submit(measure, seed).result()
                rounds[kind].append(one)
                print(f"{kind}: {MANY} at once {one['many_s']:.1f} s, alone {one['long_alone_s']:.1f} s", flush=True)
        queued = pools[INT8].submit(measure_queued, seeds[0]).result()
    return rounds, queued


def median_of(rounds: Sequence[dict[str, Any]], generated: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A subject's figures, each the median of its rounds."""
    figures: dict[str, Any] = {
        name: statistics.median(one[name] for one in rounds) for name in rounds[0] if name != "texts"
    }
    figures["same_as_generate"] = same_answers([one["texts"] for one in rounds], [one["texts"] for one in generated])
    return figures


def same_answers(one: Sequence[Sequence[str]], other: Sequence[Sequence[str]]) -> str:
    """How many answers of two subjects are the same text."""
    pairs = [pair for mine, theirs in zip(one, other, strict=True) for pair in zip(mine, theirs, strict=True)]
    return f"{sum(mine == theirs for mine, theirs in pairs)}/{len(pairs)}"


def report_many(results: dict[str, dict[str, Any]]) -> None:
    """Print how each subject answers many at once."""
    base = results[GENERATE]
    print_table(
        f"{MANY} questions at once, some 270 tokens of prompt and 55 of answer each",
        ["", "seconds", "tokens/s", "× generate", "of the bound", "a step ms", "first text p50 s", "max s",
         "as generate's"],
        [
            [
                kind,
                one["many_s"],
                one["tokens_per_s"],
                base["many_s"] / one["many_s"],
                f"{one['bound_s'] / one['many_s']:.2f}" if "bound_s" in one else "",
                one.get("step_ms", ""),
                one["first_text_p50_s"],
                one["first_text_max_s"],
                one["same_as_generate"],
            ]
            for kind, one in results.items()
        ],
    )  # fmt: skip


def report_few(results: dict[str, dict[str, Any]]) -> None:
    """Print how each subject answers a few, and the memory that it takes."""
    columns = {
        "8 one after another s": "one_after_another_s",
        "8 at once s": "at_once_s",
        "1,200 tokens + 80 alone s": "long_alone_s",
        "400 tokens: first text s": "alone_first_text_s",
        "MB": "memory_mb",
        "peak MB": "peak_memory_mb",
    }
    rows = [[kind, *(one[name] for name in columns.values())] for kind, one in results.items()]
    print_table("a few", ["", *columns], rows)


def report(results: dict[str, dict[str, Any]], queued: dict[str, float], starts: dict[str, float]) -> None:
    """Print the tables."""
    report_many(results)
    report_few(results)
    print_table(
        f"{QUEUED} questions at once, {MANY} growing",
        ["", "answers/s", "first text p50 s"],
        [[INT8, queued["answers_per_s"], queued["first_text_p50_s"]]],
    )
    print_table("start", ["", "seconds to ready"], [[name, took_s] for name, took_s in starts.items()])


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: a GPU where there is one"
    )
    parser.add_argument("--model", default="smollm2-135m", help="as in the setting engine.model")
    parser.add_argument("--threads", type=int, default=0, help="as in the setting engine.threads")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="fresh prompts each; medians are reported")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--name", default="engine", help="of the results file")
    wanted = parser.parse_args()
    if wanted.device == "cuda" or (wanted.device == "auto" and has_gpu()):
        engine_gpu.measure(wanted.rounds, "engine-gpu")
        return
    changes = {"kind": "transformers", "model": wanted.model, "device": "cpu", "threads": wanted.threads}
    base = load_settings().engine.model_copy(update=changes)
    seeds = range(wanted.seed, wanted.seed + wanted.rounds)
    with tempfile.TemporaryDirectory() as folder:
        models_folder = Path(folder)
        starts = {
            "first of all, unpacks the model": measure_start(base, models_folder),
            "later": min(measure_start(base, models_folder) for _ in range(2)),
        }
        rounds, queued = measure_subjects(base, models_folder, seeds)
    results = {kind: median_of(own, rounds[GENERATE]) for kind, own in rounds.items()}
    report(results, queued, starts)
    write_results(
        wanted.name,
        {"model": wanted.model, "threads": wanted.threads, "starts": starts, **results, "queued": queued},
    )


if __name__ == "__main__":
    main()
