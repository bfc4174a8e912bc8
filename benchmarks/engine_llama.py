"""llama.cpp as a subject of ``python -m benchmarks.engine``: the same GGUF file, many sequences in one batch.

It comes with the extra `bench` (``pip install -e '.[bench]'``), which compiles it for this processor for a quarter of
an hour. It is driven as its own server drives it: one token of each growing answer and as much of the waiting prompts
as a batch has room for, in one call.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from config.sections import EngineSettings
from workers.engine.engine import GenerationRequest

NAME = "llama.cpp, the file's 4 bits"
# Its server's default.
BATCH_TOKENS = 512
# Tokens of a prompt with its answer at most.
SEQUENCE_TOKENS = 1536


def available() -> bool:
    """Whether it is installed."""
    return importlib.util.find_spec("llama_cpp") is not None


class LlamaSubject:
    """llama.cpp with a row for each answer; greedy, and every answer goes on to its full length."""

    def __init__(self, settings: EngineSettings, models_folder: Path, slots: int) -> None:
        import llama_cpp
        from transformers import AutoTokenizer, GenerationConfig

        from workers.engine.local.chat import ChatFormat
        from workers.engine.local.loading import default_threads
        from workers.engine.local.smollm2 import find_gguf
        from workers.engine.local.weights import find_weights

        self._api: Any = llama_cpp
        folder = find_weights(settings.model, models_folder, lambda what, share: None)
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._chat = ChatFormat(self._tokenizer, GenerationConfig.from_pretrained(folder), settings.model)
        file = Path(settings.model) if settings.model.endswith(".gguf") else find_gguf()
        llama_cpp.llama_backend_init()
        self._quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self._quiet, None)
        self._model = llama_cpp.llama_model_load_from_file(str(file).encode(), llama_cpp.llama_model_default_params())
        options = llama_cpp.llama_context_default_params()
        options.n_ctx, options.n_seq_max = slots * SEQUENCE_TOKENS, slots
        options.n_batch = options.n_ubatch = BATCH_TOKENS
        options.n_threads = options.n_threads_batch = settings.threads or default_threads()
        self._context = llama_cpp.llama_init_from_model(self._model, options)
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self._model))
        self._batch = llama_cpp.llama_batch_init(BATCH_TOKENS, 0, 1)
        self._slots = slots
        self.steps_s: list[float] = []  # of calls that read no prompt

    def answer(self, requests: Sequence[GenerationRequest]) -> tuple[float, list[float], list[str]]:
        """Answer all at once: the time it took, the times to their first text, and the texts."""
        started_s = time.perf_counter()
        prompts = [self._chat.tokens(request.turns) for request in requests]
        tokens: list[list[int]] = [[] for _ in requests]
        first_s = [0.0] * len(requests)
        waiting, free = list(range(len(requests))), list(range(self._slots))
        rows: dict[int, list[int]] = {}  # from an answer's number to its sequence and how many tokens are stored
        while waiting or rows:
            while waiting and free:
                rows[waiting.pop(0)] = [free.pop(0), 0]
            reads, began_s = not all(tokens[number] for number in rows), time.perf_counter()
            found = self._step(rows, prompts, tokens)
            if not reads:
                self.steps_s.append(time.perf_counter() - began_s)
            for number, token in found:
                tokens[number].append(token)
                first_s[number] = first_s[number] or time.perf_counter() - started_s
                if len(tokens[number]) == requests[number].max_new_tokens:
                    sequence, _ = rows.pop(number)
                    self._api.llama_memory_seq_rm(self._memory, sequence, -1, -1)
                    free.append(sequence)
        took_s = time.perf_counter() - started_s
        return took_s, first_s, [self._tokenizer.decode(one, skip_special_tokens=True) for one in tokens]

    def _step(
        self, rows: dict[int, list[int]], prompts: Sequence[list[int]], tokens: Sequence[list[int]]
    ) -> list[tuple[int, int]]:
        """One call: a token of each growing answer first, then what has room of the prompts; returns new tokens."""
        batch = self._batch
        batch.n_tokens = 0
        ends: list[tuple[int, int]] = []  # places in the batch whose logits are wanted, and whose
        for number, row in sorted(rows.items(), key=lambda item: not tokens[item[0]]):
            room = BATCH_TOKENS - batch.n_tokens
            new = (tokens[number][-1:] or prompts[number][row[1] : row[1] + room])[:room]
            for token in new:
                place = batch.n_tokens
                batch.token[place], batch.pos[place] = token, row[1]
                batch.n_seq_id[place], batch.seq_id[place][0] = 1, row[0]
                batch.logits[place] = False
                batch.n_tokens += 1
                row[1] += 1
            if new and row[1] >= len(prompts[number]):
                batch.logits[batch.n_tokens - 1] = True
                ends.append((batch.n_tokens - 1, number))
        code = self._api.llama_decode(self._context, batch)
        assert code == 0, code
        found = []
        for place, number in ends:
            logits = np.ctypeslib.as_array(
                self._api.llama_get_logits_ith(self._context, place), shape=(self._vocabulary,)
            )
            found.append((number, int(logits.argmax())))
        return found
