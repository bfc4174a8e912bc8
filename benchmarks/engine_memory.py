"""What memory the engine takes on a CPU, and of what it is made up: weights, the cache of keys and values, the rest.

``python -m benchmarks.engine_memory``: each kind of weights in a fresh process, when it is ready and after as many
questions at once as the settings let grow, with longer and longer prompts, up to about the longest that is taken.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from benchmarks.engine import WORDS
from benchmarks.report import print_table, write_results
from config.loading import load_settings
from config.sections import EngineSettings
from workers.engine.engine import ChatTurn, GenerationRequest

PROMPT_WORDS = (250, 950, 1480)  # the chat template adds some 35 tokens
NEW_TOKENS = 8
COLUMNS = {
    "resident_mb": "resident",
    "weights_mb": "weights",
    "cache_mb": "cache",
    "room_tokens": "its room, tokens",
    "rest_mb": "the rest",
    "imported_mb": "of it libraries",
}
DTYPES = {"int8": 1, "float32": 4}  # with their bytes a weight


def measure(settings: EngineSettings, models_folder: Path, slots: int) -> list[dict[str, Any]]:
    """The figures of one engine, in this process, which has to be a fresh one."""
    from transformers import AutoConfig

    from workers.engine.engines.transformers import TransformersEngine
    from workers.engine.local.loading import choose_device, need_with
    from workers.engine.local.slots import SlotDecoder
    from workers.engine.local.weights import find_weights

    imported_mb = _resident_mb()
    engine = TransformersEngine(settings, models_folder, slots)
    engine.load(lambda what, share: None)
    folder = find_weights(settings.model, models_folder, lambda what, share: None)
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    need = need_with(settings, slots, folder, config, choose_device(settings.device))
    assert engine._model is not None
    decoder = engine._model.decoder
    assert isinstance(decoder, SlotDecoder)

    def figures(questions: str) -> dict[str, Any]:
        resident_mb = _resident_mb()
        room = next(iter(decoder._cache._rows.values()))[0].shape[2]
        cache_mb = (slots + 1) * room * need.cache_bytes_a_token / 1e6
        weights_mb = need.parameters * DTYPES[settings.dtype] / 1e6
        return {
            "questions": questions,
            "resident_mb": resident_mb,
            "weights_mb": weights_mb,
            "cache_mb": cache_mb,
            "room_tokens": room,
            "rest_mb": resident_mb - cache_mb - weights_mb,
            "imported_mb": imported_mb,
        }

    found = [figures("none yet")]
    for words in PROMPT_WORDS:
        for number in range(slots):
            turn = ChatTurn("user", " ".join(random.Random(number).choices(WORDS, k=words)))
            engine.add(GenerationRequest(str(number), (turn,), NEW_TOKENS))
        longest = 0
        while engine.busy:
            for event in engine.step():
                assert event.finish != "error", event
                longest = max(longest, event.prompt_tokens + event.new_tokens)
        found.append(figures(f"{slots} of {longest:,} tokens"))
    return found


def unpack(model: str, models_folder: Path) -> None:
    """Have the model's folder there: making it leaves memory behind."""
    from workers.engine.local.weights import find_weights

    find_weights(model, models_folder, lambda what, share: None)


def _resident_mb() -> float:
    return float(psutil.Process().memory_info().rss) / 1e6


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m", help="as in the setting engine.model")
    wanted = parser.parse_args()
    settings = load_settings()
    slots = settings.worker.max_in_flight
    results = {}
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        with ProcessPoolExecutor(1, spawn) as pool:
            pool.submit(unpack, wanted.model, Path(folder)).result()
        for dtype in DTYPES:
            changes = {"kind": "transformers", "model": wanted.model, "device": "cpu", "dtype": dtype}
            own = settings.engine.model_copy(update=changes)
            with ProcessPoolExecutor(1, spawn) as pool:
                results[dtype] = pool.submit(measure, own, Path(folder), slots).result()
    print_table(
        f"{slots} questions at a time: resident memory of the engine, MB",
        ["", *COLUMNS.values()],
        [
            [f"{dtype}, {one['questions']}", *(one[column] for column in COLUMNS)]
            for dtype, figures in results.items()
            for one in figures
        ],
    )
    write_results("engine-memory", {"model": wanted.model, "slots": slots, **results})


if __name__ == "__main__":
    main()
