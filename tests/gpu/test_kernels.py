"""The GPU's kernels compute what their formulas say, beside the same in float64; run where a GPU is."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.workers.engine.local import plain_kernels as plain

pytestmark = pytest.mark.gpu
HEADS = [(28, 4, 128), (32, 8, 64), (16, 16, 128), (6, 2, 16), (9, 3, 64)]
# bfloat16 keeps 8 bits, and a sum of many terms some less.
TOLERANCE = 1e-2


@pytest.fixture
def fused() -> Any:
    """The kernels, which only a machine with a GPU can import."""
    from workers.engine.local import kernels

    return kernels


def random(*shape: int, seed: int = 0) -> Tensor:
    chance = torch.Generator("cuda").manual_seed(seed)
    return torch.randn(shape, generator=chance, device="cuda", dtype=torch.bfloat16)


def apart(got: Tensor, wanted: Tensor) -> float:
    """How far apart two results are, as a part of the largest number."""
    return ((got.double() - wanted.double()).abs().max() / wanted.double().abs().max()).item()


@pytest.mark.parametrize(("heads", "key_heads", "size"), HEADS)
@pytest.mark.parametrize("splits", [1, 2, 16])
def test_attention_from_pages(fused: Any, heads: int, key_heads: int, size: int, splits: int) -> None:
    """Rows of all lengths around a page's borders, and rows that are none, in any number of parts."""
    positions = torch.tensor([0, 1, 62, 63, 64, 65, 127, 128, 700, 1151, -1, -1], dtype=torch.int32, device="cuda")
    rows, pages = len(positions), 19
    keys, values = random(rows * pages, 64, key_heads, size, seed=1), random(rows * pages, 64, key_heads, size, seed=2)
    shuffled = torch.randperm(rows * pages, generator=torch.Generator().manual_seed(3))
    tables = shuffled.view(rows, pages).int().cuda()
    qkv = random(rows, (heads + 2 * key_heads) * size, seed=4)
    got = fused.paged_attention(qkv, keys, values, tables, positions, size**-0.5, splits)
    wanted = plain.paged_attention(qkv.double(), keys.double(), values.double(), tables, positions, size**-0.5, splits)
    assert apart(got, wanted) < TOLERANCE
    assert not got[-2:].any()


def test_attention_does_not_look_behind_the_newest_token(fused: Any) -> None:
    """What another sequence left in a page, even if it is no number, changes nothing."""
    keys, values = random(2, 64, 4, 128), random(2, 64, 4, 128)
    tables = torch.tensor([[0, 1]], dtype=torch.int32, device="cuda")
    positions = torch.tensor([70], dtype=torch.int32, device="cuda")
    qkv = random(1, 36 * 128)
    before = fused.paged_attention(qkv, keys, values, tables, positions, 0.1, 1)
    keys[1, 7:] = torch.nan
    values[1, 7:] = torch.inf
    assert torch.equal(fused.paged_attention(qkv, keys, values, tables, positions, 0.1, 1), before)


@pytest.mark.parametrize(("heads", "key_heads", "size"), HEADS)
@pytest.mark.parametrize("prompts", [[(1, 1)], [(5, 5), (64, 64)], [(1, 65), (7, 200), (512, 1024), (1, 1)]], ids=str)
def test_attention_of_prompts(
    fused: Any, heads: int, key_heads: int, size: int, prompts: list[tuple[int, int]]
) -> None:
    """New tokens see all that stand before them in their own prompt, whatever of it has been read before."""
    new, count = (sum(numbers) for numbers in zip(*prompts, strict=True))
    query, key, value = random(new, heads, size), random(count, key_heads, size), random(count, key_heads, size)
    ends = torch.tensor([(0, 0), *prompts], device="cuda").cumsum(0).int().T.contiguous()
    longest = (max(new for new, _ in prompts), max(count for _, count in prompts))
    got = fused.prompt_attention(query, key, value, ends, longest, size**-0.5)
    wanted = plain.prompt_attention(query.double(), key.double(), value.double(), ends, longest, size**-0.5)
    assert apart(got, wanted) < TOLERANCE


@pytest.mark.parametrize(("heads", "key_heads", "size"), HEADS)
@pytest.mark.parametrize("normed", [False, True])
def test_turning_and_storing(fused: Any, heads: int, key_heads: int, size: int, normed: bool) -> None:
    """Queries and keys are turned by their position, and keys and values stand where they belong; rows that are none
    leave the cache alone.
    """
    tokens = 9
    qkv = random(tokens, (heads + 2 * key_heads) * size)
    positions = torch.tensor([0, 1, 2, 63, 64, 500, -1, -1, 7], dtype=torch.int32, device="cuda")
    slots = torch.tensor([0, 65, 2, 63, 64, 190, 0, 5, 7], device="cuda")
    angles = torch.rand(512, size // 2, device="cuda") * 6
    norms = (random(size, seed=5), random(size, seed=6), 1e-6) if normed else None
    wide_norms = (norms[0].double(), norms[1].double(), 1e-6) if norms else None
    keys, values = (torch.zeros(3, 64, key_heads, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    wide, wide_keys, wide_values = qkv.double(), keys.double(), values.double()
    fused.rotate_and_store(qkv, positions, slots, angles.cos(), angles.sin(), keys, values, norms)
    plain.rotate_and_store(
        wide, positions, slots, angles.cos().double(), angles.sin().double(), wide_keys, wide_values, wide_norms
    )
    for got, wanted in ((qkv, wide), (keys, wide_keys), (values, wide_values)):
        assert apart(got, wanted) < TOLERANCE


@pytest.mark.parametrize("size", [48, 576, 3584, 8192])
@pytest.mark.parametrize("add", [False, True])
def test_adding_and_norming(fused: Any, size: int, add: bool) -> None:
    """The residual stream takes the sum, and the result is its norm."""
    x, residual, weight = random(5, size), random(5, size, seed=1), random(size, seed=2)
    wide = residual.double()
    wanted = plain.add_rms_norm(x.double(), wide, weight.double(), 1e-6, add=add)
    assert apart(fused.add_rms_norm(x, residual, weight, 1e-6, add=add), wanted) < TOLERANCE
    assert apart(residual, wide) < TOLERANCE


@pytest.mark.parametrize("size", [16, 1000, 18944])
def test_silu(fused: Any, size: int) -> None:
    """silu(gate) times up."""
    gate_up = random(3, 2 * size)
    assert apart(fused.silu_and_multiply(gate_up), plain.silu_and_multiply(gate_up.double())) < TOLERANCE


@pytest.mark.parametrize(("inner", "outer"), [(16, 16), (48, 321), (576, 1000), (3584, 4608)])
def test_products_of_one_row(fused: Any, inner: int, outer: int) -> None:
    """A row times weights, with and without a bias, and with a gate; lines and columns need not fill a block."""
    x, bias, weight = random(1, inner), random(outer, seed=1), random(2 * outer, inner, seed=2) * inner**-0.5
    wide = x.double(), weight.double()
    for own, added in ((None, 0), (bias, bias.double())):
        assert apart(fused.multiply_row(x, weight[:outer], own), wide[0] @ wide[1][:outer].T + added) < TOLERANCE
    assert apart(fused.multiply_and_gate_row(x, weight), plain.multiply_and_gate_row(*wide)) < TOLERANCE


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
def test_graphs_change_nothing(fused: Any, architecture: str) -> None:
    """Recorded or not, and whatever the size of batch that a graph was recorded for, the logits are the same."""
    from tests.workers.engine.local.decoding import prompts
    from tests.workers.engine.tiny_models import random_model
    from workers.engine.local.paged import PagedDecoder

    model = random_model(architecture).to("cuda", torch.bfloat16)
    # The tiny models' heads have 8 numbers, and the kernels want 16: of a model of that shape with larger heads.
    if (getattr(model.config, "head_dim", None) or 8) < 16:
        config = model.config
        config.hidden_size, config.head_dim = 96, 16
        model = type(model)(config).to("cuda", torch.bfloat16).eval()
    results = []
    for graphs in (True, False):
        decoder = PagedDecoder(model, 5, 200, 40, fused, graphs=graphs)
        steps = []
        for prompt in prompts(5, 63, 64, 65, 120):
            assert decoder.begin(prompt, 20)
            logits: list[Tensor] = []
            while not logits:
                logits = decoder.prefill(50)[1]
            steps += [one[None] for one in logits]
        steps += [decoder.decode([token] * decoder.rows) for token in range(6)]
        decoder.release(1)
        steps += [decoder.decode([token] * decoder.rows) for token in range(6)]
        results.append(torch.cat(steps))
    assert apart(results[0], results[1]) < TOLERANCE
