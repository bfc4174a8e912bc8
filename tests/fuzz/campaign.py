"""``python -m tests.fuzz.campaign TARGET …``: one target in a process of its own, until so many inputs were read.

With atheris (libFuzzer), which keeps what reaches new code of ours and goes on from there; without it, where it has no
wheel, by throwing dice at the good inputs. The input that breaks the reader is left in `--faults`.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import random
import signal
import sys
import time
from pathlib import Path
from types import ModuleType

import structlog

from tests.fuzz.edits import apply, random_edits
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS, make_target

IS_GUIDED = importlib.util.find_spec("atheris") is not None
LONGEST_INPUT_BYTES = 200_000
MEMORY_MB = 3_000
MARGIN_S = 5.0
FRESH_EVERY = 2
"""One input of so many begins from a seed again, however far the corpus has wandered from them."""
COUNT = "stat::number_of_executed_units:"


def main() -> None:
    """Fuzz until `--inputs` have been read."""
    options = argparse.ArgumentParser()
    options.add_argument("target", choices=list(TARGETS))
    options.add_argument("--inputs", type=int, required=True)
    options.add_argument("--seed", type=int, required=True)
    options.add_argument("--corpus", type=Path, required=True)
    options.add_argument("--faults", type=Path, required=True)
    asked = options.parse_args()
    logging.disable(logging.CRITICAL)  # what the readers say of each bad input is not news here
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    modules = list(TARGETS[asked.target].instrumented)
    if not IS_GUIDED:
        _blind(make_target(asked.target), asked)
        return
    fuzzer = importlib.import_module("atheris")
    with fuzzer.instrument_imports(include=modules):
        target = make_target(asked.target)
    _guided(fuzzer, target, asked)


def _guided(fuzzer: ModuleType, target: Target, asked: argparse.Namespace) -> None:
    """Never returns: libFuzzer ends the process, with 0 when all were read."""
    seeds = target.seeds()
    for number, seed in enumerate(seeds):
        (asked.corpus / f"seed-{number}").write_bytes(seed)

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        dice = random.Random(seed)
        begin = dice.choice(seeds) if dice.randrange(FRESH_EVERY) == 0 else data
        edited = apply(begin, random_edits(dice)) if dice.random() < 0.8 else fuzzer.Mutate(begin, max_size)
        return bytes(edited[:max_size])

    def read(data: bytes) -> None:
        target.read(data)

    arguments = {
        "runs": asked.inputs,
        "seed": asked.seed,
        "max_len": LONGEST_INPUT_BYTES,
        "timeout": round(target.LIMIT_S + MARGIN_S),
        "rss_limit_mb": MEMORY_MB,
        "artifact_prefix": f"{asked.faults}/{asked.target}-",
        "print_final_stats": 1,
    }
    command = [sys.argv[0], *(f"-{name}={value}" for name, value in arguments.items()), str(asked.corpus)]
    fuzzer.Setup(command, read, custom_mutator=mutate)
    fuzzer.Fuzz()


def _blind(target: Target, asked: argparse.Namespace) -> None:
    dice, seeds, at = random.Random(asked.seed), target.seeds(), 0
    data = b""
    signal.signal(signal.SIGALRM, _too_long)
    try:
        for at in range(asked.inputs):
            data = seeds[at] if at < len(seeds) else apply(dice.choice(seeds), random_edits(dice))
            signal.alarm(round(target.LIMIT_S + MARGIN_S))
            target.read(data)
        signal.alarm(0)
    except BaseException:
        file = asked.faults / f"{asked.target}-fault-{asked.seed}-{time.time_ns()}"
        file.write_bytes(data)
        print(f"Test unit written to {file}", file=sys.stderr)
        raise
    finally:
        print(COUNT, at + 1, file=sys.stderr)
    target.close()


def _too_long(*_: object) -> None:
    raise TimeoutError("the reader hangs")


if __name__ == "__main__":
    main()
