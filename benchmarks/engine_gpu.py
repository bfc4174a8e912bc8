"""How many answers a GPU can give: a model of 7.6 thousand million random weights, prompts of 1,024 tokens, 128 new.

``python -m benchmarks.engine`` runs this where there is a GPU. Beside the engine: `generate` of transformers, one
question after another, and transformers' own continuous batching; and the bound, from this GPU's own copy bandwidth
and matrix rate, measured in the same run. Answers are compared with the model's own logits, token for token.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import track

from benchmarks.engine_bound import gpu_bound, measure_gpu
from benchmarks.gpu_model import LETTERS, SHAPE, make_model, make_tokenizer
from benchmarks.report import print_table, write_results
from config.loading import load_settings
from workers.engine.engine import ChatTurn, GenerationRequest

PROMPT_TOKENS, NEW_TOKENS = 1024, 128
SHARED_TOKENS, MUCH_SHARED_TOKENS = 256, 768
IN_FLIGHT = (1, 8, 64, 256)
BATCHED_BY_TRANSFORMERS = 64
CHECKED = 4


@dataclass(frozen=True)
class Figures:
    """One subject at one number in flight."""

    answers_per_s: float
    tokens_per_s: float
    first_text_p50_s: float
    first_text_p99_s: float
    step_p50_ms: float = 0.0  # of steps that read no prompt; 0 where they are not told


def make_requests(
    count: int, shared_tokens: int, seed: int, length: Callable[[Sequence[ChatTurn]], int]
) -> list[GenerationRequest]:
    """Fresh prompts of `PROMPT_TOKENS` tokens, of which the first `shared_tokens` are the same in all of a round."""
    chance = random.Random(seed)

    def text(tokens: int) -> str:
        return "".join(chance.choices(LETTERS, k=tokens))

    around = length([ChatTurn("system", ""), ChatTurn("user", "")])
    shared = text(shared_tokens)
    own = PROMPT_TOKENS - shared_tokens - around
    return [
        GenerationRequest(f"{seed}-{n}", (ChatTurn("system", shared), ChatTurn("user", text(own))), NEW_TOKENS)
        for n in range(count)
    ]


class EngineSubject:
    """The engine on a model that is there already; answers go on to their full length."""

    def __init__(self, model: Any, tokenizer: Any, slots: int) -> None:
        import torch

        from workers.engine.engines.transformers import TransformersEngine
        from workers.engine.local.chat import ChatFormat
        from workers.engine.local.check import choose_decoder
        from workers.engine.local.loading import LoadedModel

        self._engine = TransformersEngine(load_settings().engine, Path(), slots)
        started_s = time.perf_counter()
        self.decoder = choose_decoder(model, slots, PROMPT_TOKENS + NEW_TOKENS)
        chat = ChatFormat(tokenizer, model.generation_config, "random")
        chat.stop_tokens = frozenset()
        self._engine._model = LoadedModel(
            self.decoder, chat, tokenizer.backend_tokenizer, PROMPT_TOKENS, NEW_TOKENS, {}
        )
        self.answer([GenerationRequest("warm-up", (ChatTurn("user", "hello"),), 4)])
        torch.cuda.synchronize()
        self.start_s = time.perf_counter() - started_s
        self.chat = chat
        self.steps_s: list[float] = []  # of the last round's steps that read no prompt

    def length(self, turns: Sequence[ChatTurn]) -> int:
        """How many tokens these turns are."""
        return len(self.chat.tokens(turns))

    def prompts(self, requests: Sequence[GenerationRequest]) -> list[list[int]]:
        """The tokens of each request."""
        return [self.chat.tokens(request.turns) for request in requests]

    def answer(self, requests: Sequence[GenerationRequest]) -> tuple[float, list[float], dict[str, list[int]]]:
        """Answer all, which come at once: the time it took, the times to first texts, and the tokens."""
        answers: dict[str, list[int]] = {}
        first_s: dict[str, float] = {}
        started_s = time.perf_counter()
        for request in requests:
            self._engine.add(request)
        kept = {answer.request.id: answer for answer in self._engine._waiting}
        self.steps_s = []
        while self._engine.busy:
            reads, began_s = bool(self._engine._waiting or self._engine._reading), time.perf_counter()
            events = self._engine.step()
            if not reads:
                self.steps_s.append(time.perf_counter() - began_s)
            for event in events:
                assert event.finish in (None, "length"), event
                first_s.setdefault(event.id, time.perf_counter() - started_s)
        took_s = time.perf_counter() - started_s
        for name, answer in kept.items():
            answers[name] = answer.tokens
        return took_s, list(first_s.values()), answers


def figures(took_s: float, first_s: Sequence[float], count: int, steps_s: Sequence[float] = (0.0,)) -> Figures:
    """A round's figures."""
    ordered = sorted(first_s)
    return Figures(
        count / took_s,
        count * NEW_TOKENS / took_s,
        statistics.median(ordered),
        ordered[int(len(ordered) * 0.99)],
        statistics.median(steps_s) * 1e3,
    )


def measure_generate(model: Any, prompts: Sequence[list[int]]) -> Figures:
    """`generate`, one after another."""
    import torch

    ended_s = []
    started_s = time.perf_counter()
    for prompt in prompts:
        ids = torch.tensor([prompt], device="cuda")
        model.generate(
            ids, attention_mask=ids.ne(-1), max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS, do_sample=False,
            pad_token_id=0,
        )  # fmt: skip
        torch.cuda.synchronize()
        ended_s.append(time.perf_counter() - started_s)
    return figures(ended_s[-1], ended_s, len(prompts))


def measure_transformers_batching(model: Any, prompts: Sequence[list[int]]) -> Figures | str:
    """The continuous batching of transformers as it comes; a sentence where this version cannot."""
    from transformers import GenerationConfig

    generation = GenerationConfig(max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=-1, pad_token_id=0)
    try:
        model.generate_batch(inputs=list(prompts[:2]), generation_config=generation, progress_bar=False)
        started_s = time.perf_counter()
        outputs = model.generate_batch(inputs=list(prompts), generation_config=generation, progress_bar=False)
        took_s = time.perf_counter() - started_s
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    made = sum(len(output.generated_tokens) for output in outputs.values())
    return Figures(len(prompts) / took_s, made / took_s, float("nan"), float("nan"))


def worst_regret(model: Any, prompts: Sequence[list[int]], answers: Sequence[list[int]]) -> float:
    """How far a chosen token's logit is below the model's own highest at that place, as a part of the highest.

    0 is `generate`'s own choice; rounding in bfloat16 turns near ties, whose regret is near 0 too.
    """
    import torch

    worst = 0.0
    for prompt, answer in zip(prompts, answers, strict=True):
        with torch.inference_mode():
            logits = model(torch.tensor([prompt + answer[:-1]], device="cuda"), logits_to_keep=len(answer)).logits[0]
        chosen = logits.gather(1, torch.tensor(answer, device="cuda")[:, None])[:, 0]
        highest = logits.max(-1).values
        worst = max(worst, ((highest - chosen) / logits.abs().max()).max().item())
    return worst


def measure_engine(subject: EngineSubject, rounds: int, shared_tokens: int, sizes: Sequence[int]) -> dict[int, Figures]:
    """The engine at each number in flight; medians of rounds with fresh prompts."""
    results = {}
    for size in sizes:
        own = []
        for number in track(range(rounds), description=f"{size} in flight, {shared_tokens} tokens shared"):
            requests = make_requests(size, shared_tokens, 1000 * size + number + shared_tokens, subject.length)
            took_s, first_s, _ = subject.answer(requests)
            own.append(figures(took_s, first_s, size, subject.steps_s))
        results[size] = sorted(own, key=lambda one: one.answers_per_s)[len(own) // 2]
    return results


@dataclass(frozen=True)
class Measured:
    """What one run told. `alike` and `shared` by the number in flight, as are the bounds, in answers a second."""

    bytes_per_s: float
    flops: float
    start_s: float
    decoder: str
    weights_mb: float
    memory_mb: float
    regret: float
    alike: dict[int, Figures]
    shared: dict[int, Figures]
    one_by_one: Figures
    theirs: Figures | str
    bounds: dict[int, float]


def measure_all(rounds: int) -> Measured:
    """The engine, `generate` and transformers' batching on one model; medians of so many rounds."""
    import torch

    bytes_per_s, flops = measure_gpu()
    model = make_model(SHAPE)
    tokenizer = make_tokenizer(SHAPE["vocab_size"])
    torch.cuda.reset_peak_memory_stats()
    subject = EngineSubject(model, tokenizer, max(IN_FLIGHT))
    alike = measure_engine(subject, rounds, SHARED_TOKENS, IN_FLIGHT)
    shared = measure_engine(subject, rounds, MUCH_SHARED_TOKENS, IN_FLIGHT[2:])
    memory_mb = torch.cuda.max_memory_allocated() / 1e6

    checked = make_requests(CHECKED, SHARED_TOKENS, 7, subject.length)
    answers = subject.answer(checked)[2]
    prompts = subject.prompts(checked)
    many = make_requests(BATCHED_BY_TRANSFORMERS, SHARED_TOKENS, 8, subject.length)
    return Measured(
        bytes_per_s=bytes_per_s,
        flops=flops,
        start_s=subject.start_s,
        decoder=subject.decoder.name,
        weights_mb=sum(parameter.nbytes for parameter in model.parameters()) / 1e6,
        memory_mb=memory_mb,
        regret=worst_regret(model, prompts, [answers[request.id] for request in checked]),
        alike=alike,
        shared=shared,
        one_by_one=measure_generate(model, prompts),
        theirs=measure_transformers_batching(model, subject.prompts(many)),
        bounds={size: gpu_bound(model, size, (PROMPT_TOKENS, NEW_TOKENS), bytes_per_s, flops) for size in IN_FLIGHT},
    )


def report(device: str, told: Measured) -> None:
    """Print the table."""
    generate = told.one_by_one.answers_per_s

    def row(subject: str, one: Figures, of_the_bound: str = "") -> list[object]:
        return [subject, one.answers_per_s, one.tokens_per_s, of_the_bound, one.answers_per_s / generate,
                f"{one.first_text_p50_s:.2f}", f"{one.first_text_p99_s:.2f}", one.step_p50_ms]  # fmt: skip

    rows = [
        row(f"engine, {size} at once", one, f"{one.answers_per_s / told.bounds[size]:.2f}")
        for size, one in told.alike.items()
    ]
    rows += [
        row(f"engine, {size} at once, {MUCH_SHARED_TOKENS} tokens shared", one) for size, one in told.shared.items()
    ]
    rows.append(["generate, one after another", f"{generate:.2f}", told.one_by_one.tokens_per_s, "", 1, "", "", ""])
    theirs_name = f"transformers' batching, {BATCHED_BY_TRANSFORMERS} at once"
    if isinstance(told.theirs, str):
        print(f"{theirs_name}: {told.theirs}")
    else:
        ratio = told.theirs.answers_per_s / generate
        rows.append([theirs_name, told.theirs.answers_per_s, told.theirs.tokens_per_s, "", ratio, "", "", ""])
    print_table(
        f"{device}, {told.bytes_per_s / 1e12:.2f} TB/s copied, {told.flops / 1e12:.0f} TFLOP/s",
        ["", "answers/s", "tokens/s", "of the bound", "× generate", "first text p50 s", "p99 s", "a step ms"],
        rows,
    )
    print(
        f"start {told.start_s:.1f} s; weights {told.weights_mb:,.0f} MB, at most {told.memory_mb:,.0f} MB; "
        f"regret {told.regret:.4f}"
    )


def measure(rounds: int, name: str) -> None:
    """Measure with medians of so many rounds, print, and write the results of this name."""
    import torch

    told = measure_all(rounds)
    device = torch.cuda.get_device_name()
    report(device, told)
    write_results(
        name,
        {
            "device": device,
            "decoder": told.decoder,
            "bytes_per_s": told.bytes_per_s,
            "flops": told.flops,
            "start_s": told.start_s,
            "memory_mb": told.memory_mb,
            "worst_regret": told.regret,
            "bound_answers_per_s": told.bounds,
            "engine": {size: vars(one) for size, one in told.alike.items()},
            "engine_much_shared": {size: vars(one) for size, one in told.shared.items()},
            "generate": vars(told.one_by_one),
            "transformers_batching": told.theirs if isinstance(told.theirs, str) else vars(told.theirs),
        },
    )
