"""Whether the engine process grows: thousands of requests, many cancelled at random, and its memory over time.

``python -m benchmarks.soak``: the echo engine through its process, and a model with a few random weights that goes the
same ways as a large one, on a GPU with ``--device cuda``. ``--model`` takes another one, in the form of the setting
engine.model.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any

import psutil
from rich.progress import track

from benchmarks.report import print_table, write_results
from config.loading import load_settings
from config.sections import EngineSettings
from workers.engine.engine import ChatTurn, EngineError, GenerationRequest
from workers.engine.generation import Generation, GenerationCancelledError
from workers.engine.supervisor import EngineSupervisor

REQUESTS, AT_ONCE = 10_000, 16
CANCELLED_SHARE = 0.3
MAX_PROMPT_WORDS, MAX_NEW_TOKENS = 60, 24
# The first tenth fills caches and the allocator's pools; growth is counted from there.
WARM_UP_SHARE = 0.1
WORDS = ["where", "is", "the", "handbook", "and", "who", "may", "read", "it", "today", "知识库", "在", "哪里", "é"]


def soak(settings: EngineSettings, models_folder: Path, requests: int, seed: int) -> dict[str, Any]:
    """The engine process's memory over so many requests."""
    chance = random.Random(seed)
    supervisor = EngineSupervisor(settings, models_folder, slots=AT_ONCE)
    supervisor.start()
    assert supervisor.pid is not None
    process = psutil.Process(supervisor.pid)
    ended = {"whole": 0, "cancelled": 0, "failed": 0}
    rss_mb: list[float] = []
    running: deque[Generation] = deque()
    gpu_warm_mb = 0.0
    started_s = time.monotonic()
    for number in track(range(requests), description=settings.kind):
        if number % max(1, requests // 20) == 0:
            rss_mb.append(process.memory_info().rss / 1e6)
        if number == round(requests * WARM_UP_SHARE):
            gpu_warm_mb = supervisor.usage.gpu_memory_bytes / 1e6
        text = " ".join(chance.choices(WORDS, k=chance.randint(1, MAX_PROMPT_WORDS)))
        request = GenerationRequest(str(number), (ChatTurn("user", text),), chance.randint(1, MAX_NEW_TOKENS))
        running.append(supervisor.submit(request))
        if chance.random() < CANCELLED_SHARE:  # wherever it is: waiting, being read, growing, or at its end
            chance.choice(running).cancel()
        if len(running) >= AT_ONCE * 2:
            _end(running.popleft(), ended)
    while running:
        _end(running.popleft(), ended)
    took_s = time.monotonic() - started_s
    rss_mb.append(process.memory_info().rss / 1e6)
    gpu_mb = supervisor.usage.gpu_memory_bytes / 1e6
    assert process.is_running(), "the engine process was started anew"
    supervisor.stop()
    warm = rss_mb[max(1, round(len(rss_mb) * WARM_UP_SHARE))]
    return {
        "requests": requests,
        **ended,
        "seconds": took_s,
        "start_mb": rss_mb[0],
        "warm_mb": warm,
        "end_mb": rss_mb[-1],
        "growth_mb": rss_mb[-1] - warm,
        "gpu_warm_mb": gpu_warm_mb,
        "gpu_end_mb": gpu_mb,
        "rss_mb": [round(one, 1) for one in rss_mb],
    }


def _end(generation: Generation, ended: dict[str, int]) -> None:
    assert generation.wait(60), "an answer never ends"
    try:
        generation.result()
        ended["whole"] += 1
    except GenerationCancelledError:
        ended["cancelled"] += 1
    except EngineError:
        ended["failed"] += 1


def make_tiny(folder: Path) -> Path:
    """A model with random weights, whose tokenizer cuts text into words as those of large models do.

    Tokenizers remember up to 10,000 words. One that takes a whole prompt for a word, as the tests' does, remembers
    whole prompts, and grows by 2.5 kB with each of the first 10,000.
    """
    from tests.workers.engine.tiny_models import make_model

    file = make_model(folder, "qwen3") / "tokenizer.json"  # its heads are large enough for a GPU's kernels
    tokenizer = json.loads(file.read_text())
    tokenizer["pre_tokenizer"]["use_regex"] = True
    file.write_text(json.dumps(tokenizer))
    return folder


def main() -> None:
    """Soak both, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", default="", help="as in the setting engine.model; a tiny random one if left out")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--name", default="soak", help="of the results file")
    wanted = parser.parse_args()
    dtype = "float32" if wanted.device == "cpu" else "bfloat16"
    base = load_settings().engine.model_copy(
        update={"device": wanted.device, "dtype": dtype, "threads": 1, "max_prompt_tokens": 512, "max_new_tokens": 64}
    )
    with tempfile.TemporaryDirectory() as folder:
        model = wanted.model
        if not model:
            model = str(make_tiny(Path(folder) / "tiny"))
        results = {}
        for kind in ("echo", "transformers"):
            settings = base.model_copy(update={"kind": kind, "model": model})
            results[kind] = soak(settings, Path(folder), wanted.requests, wanted.seed)
    print_table(
        f"{wanted.requests:,} requests, {CANCELLED_SHARE:.0%} cancels: memory of the engine process, MB",
        ["", "start", "after a tenth", "end", "growth", "whole", "cancelled", "failed", "seconds"],
        [
            [
                kind,
                *(one[name] for name in ("start_mb", "warm_mb", "end_mb", "growth_mb")),
                *(one[name] for name in ("whole", "cancelled", "failed", "seconds")),
            ]
            for kind, one in results.items()
        ],
    )
    write_results(wanted.name, {"seed": wanted.seed, "model": wanted.model or "tiny", **results})


if __name__ == "__main__":
    main()
