"""What ``python -m benchmarks.engine`` measures on a CPU: the engine, and two ways of transformers' own.

Each is built as (settings, models_folder, slots) in a process of its own.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import engine_bound
from config.sections import EngineSettings
from workers.engine.engine import GenerationRequest

CACHE_PAGES = 512  # of 32 tokens: all questions of a round with their answers, three times over
MOST_NEW_TOKENS = 96


class EngineSubject:
    """The engine as it is, but for answers that go on to their full length."""

    def __init__(self, settings: EngineSettings, models_folder: Path, slots: int) -> None:
        from transformers import AutoConfig

        from workers.engine.engines.transformers import TransformersEngine
        from workers.engine.local.weights import find_weights

        self._engine = TransformersEngine(settings, models_folder, slots)
        self._engine.load(lambda what, share: None)
        assert self._engine._model is not None
        self._engine._model.chat.stop_tokens = frozenset()
        self.steps_s: list[float] = []  # of steps that read no prompt
        self._in_8_bits = self._engine.about["dtype"] == "int8"
        self._config = AutoConfig.from_pretrained(find_weights(settings.model, models_folder, lambda what, share: None))
        self._chat = self._engine._model.chat

    def bound_s(self, requests: Sequence[GenerationRequest]) -> float:
        """What this processor would take for them at least, in this kind of numbers."""
        rates = engine_bound.measure_rates(in_8_bits=self._in_8_bits)
        prompts = [len(self._chat.tokens(request.turns)) for request in requests]
        answers = [request.max_new_tokens for request in requests]
        return engine_bound.bound_s(self._config, prompts, answers, rates, 1 if self._in_8_bits else 4)

    def answer(self, requests: Sequence[GenerationRequest]) -> tuple[float, list[float], list[str]]:
        """Answer all at once: the time it took, the times to their first text, and the texts."""
        texts = {request.id: "" for request in requests}
        first_s: dict[str, float] = {}
        started_s = time.perf_counter()
        for request in requests:
            self._engine.add(request)
        while self._engine.busy:
            reads, began_s = bool(self._engine._waiting or self._engine._reading), time.perf_counter()
            events = self._engine.step()
            if not reads:
                self.steps_s.append(time.perf_counter() - began_s)
            for event in events:
                assert event.finish in (None, "length"), event
                texts[event.id] += event.text
                first_s.setdefault(event.id, time.perf_counter() - started_s)
        return time.perf_counter() - started_s, list(first_s.values()), list(texts.values())


class GenerateSubject:
    """`generate` of transformers, one question after another."""

    def __init__(self, settings: EngineSettings, models_folder: Path, slots: int) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from workers.engine.local.chat import ChatFormat
        from workers.engine.local.loading import default_threads
        from workers.engine.local.weights import find_weights

        del slots
        torch.set_num_threads(settings.threads or default_threads())
        folder = find_weights(settings.model, models_folder, lambda what, share: None)
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self._chat = ChatFormat(self._tokenizer, self._model.generation_config, settings.model)
        self._tensor = torch.tensor
        self.steps_s: list[float] = []  # it does not tell them

    def answer(self, requests: Sequence[GenerationRequest]) -> tuple[float, list[float], list[str]]:
        """Answer one after another; a first text is there when its whole answer is."""
        started_s = time.perf_counter()
        ended_s, texts = [], []
        for request in requests:
            ids = self._tensor([self._chat.tokens(request.turns)])
            output = self._model.generate(
                ids,
                attention_mask=ids.ne(-1),
                max_new_tokens=request.max_new_tokens,
                eos_token_id=None,
                do_sample=False,
                pad_token_id=0,
            )
            texts.append(self._tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True))
            ended_s.append(time.perf_counter() - started_s)
        return time.perf_counter() - started_s, ended_s, texts


class BatchingSubject(GenerateSubject):
    """The continuous batching of transformers as it comes, but for its memory: it would take most of the machine's."""

    def answer(self, requests: Sequence[GenerationRequest]) -> tuple[float, list[float], list[str]]:
        """Answer all at once."""
        from transformers import ContinuousBatchingConfig, GenerationConfig

        generation = GenerationConfig(max_new_tokens=MOST_NEW_TOKENS, do_sample=False, eos_token_id=-1, pad_token_id=0)
        memory = ContinuousBatchingConfig(page_size=32, num_blocks=CACHE_PAGES, max_batch_tokens=512)
        manager = self._model.init_continuous_batching(generation_config=generation, continuous_batching_config=memory)
        manager.start()
        first_s: dict[str, float] = {}
        tokens: dict[str, list[int]] = {}
        left = {request.id for request in requests}
        started_s = time.perf_counter()
        try:
            for request in requests:
                manager.add_request(
                    self._chat.tokens(request.turns),
                    request_id=request.id,
                    max_new_tokens=request.max_new_tokens,
                    streaming=True,
                )
            while left:
                output = manager.get_result(timeout=600)
                assert output is not None, "its thread has died"
                assert not output.error, output.error
                if output.generated_tokens:
                    first_s.setdefault(output.request_id, time.perf_counter() - started_s)
                tokens[output.request_id] = list(output.generated_tokens)
                if output.is_finished():
                    left.discard(output.request_id)
            took_s = time.perf_counter() - started_s
        finally:
            manager.stop(block=True)  # its thread is no daemon
        texts = [self._tokenizer.decode(tokens[request.id], skip_special_tokens=True) for request in requests]
        return took_s, [first_s[request.id] for request in requests], texts
