"""What a machine could do at most: products at its matrix rate, weights and cache read once a step at its memory's.

Both rates are measured in the process that asks, with its threads, in the same run as what is held against them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

TRIES = 5


@dataclass(frozen=True)
class CpuRates:
    """`bytes_per_s` that are read; operations a second of a matrix product, in the weights' kind of numbers."""

    bytes_per_s: float
    operations_per_s: float


def measure_rates(*, in_8_bits: bool) -> CpuRates:
    """The rates of torch here, with its present threads."""
    import torch

    source = torch.ones(2**26)
    bytes_per_s = source.nbytes / _best_s(lambda: source.sum())
    rows, inner, outer = 512, 1536, 1536
    if in_8_bits:
        left, right = (torch.randint(-127, 127, shape, dtype=torch.int8) for shape in ((rows, inner), (outer, inner)))
        took_s = _best_s(lambda: torch._int_mm(left, right.t()))
    else:
        x, weight = torch.randn(rows, inner), torch.randn(outer, inner)
        took_s = _best_s(lambda: x @ weight.t())
    return CpuRates(bytes_per_s, 2 * rows * inner * outer / took_s)


def bound_s(config: Any, prompts: Sequence[int], answers: Sequence[int], rates: CpuRates, weight_bytes: int) -> float:
    """Seconds at least for prompts and answers of so many tokens that all come at once."""
    head_size = config.hidden_size // config.num_attention_heads
    key_size = config.num_key_value_heads * head_size
    a_layer = config.hidden_size * (2 * config.hidden_size + 2 * key_size + 3 * config.intermediate_size)
    inner = config.num_hidden_layers * a_layer
    weights = inner + config.vocab_size * config.hidden_size
    read_s = 2 * inner * sum(prompts) / rates.operations_per_s
    token_bytes = 2 * config.num_hidden_layers * key_size * 4
    stored_bytes: int = sum(
        token_bytes * (prompt + made) for prompt, answer in zip(prompts, answers, strict=True) for made in range(answer)
    )
    return float(read_s + (max(answers) * weights * weight_bytes + stored_bytes) / rates.bytes_per_s)


def measure_gpu() -> tuple[float, float]:
    """Bytes a second that a copy reads and writes, and floating-point operations a second of a matrix product."""
    import torch

    def seconds(do: Callable[[], object]) -> float:
        do()
        torch.cuda.synchronize()
        started_s = time.perf_counter()
        for _ in range(10):
            do()
        torch.cuda.synchronize()
        return (time.perf_counter() - started_s) / 10

    source = torch.empty(2**31, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    left, right = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    return 2 * source.nbytes / seconds(lambda: target.copy_(source)), 2 * 8192**3 / seconds(lambda: left @ right)


def gpu_bound(model: Any, in_flight: int, tokens: tuple[int, int], bytes_per_s: float, flops: float) -> float:
    """Answers a second at most, of so many prompts with so many tokens and new tokens each that come at once.

    All prompts' products at the matrix rate, then weights and cache read once a step.
    """
    prompt_tokens, new_tokens = tokens
    config = model.config
    weights: int = sum(parameter.numel() for parameter in model.parameters())
    embeddings = config.vocab_size * config.hidden_size
    prefill_s = in_flight * 2 * (weights - 2 * embeddings) * prompt_tokens / flops
    token_bytes = (
        4 * config.num_hidden_layers * config.num_key_value_heads * config.hidden_size // config.num_attention_heads
    )
    step_s = (2 * (weights - embeddings) + in_flight * token_bytes * (prompt_tokens + new_tokens / 2)) / bytes_per_s
    return float(in_flight / (prefill_s + new_tokens * step_s))


def _best_s(do: Callable[[], object]) -> float:
    times = []
    for _ in range(TRIES):
        began_s = time.perf_counter()
        do()
        times.append(time.perf_counter() - began_s)
    return min(times)
