"""The steps of a decoder layer that torch has no single operation for, in Triton; for NVIDIA and AMD GPUs.

What is fused here is bound by memory, or by the time it takes to start a kernel: a model of 28 layers starts some
40 kernels a layer through transformers' own code, and 10 through `dense.py` with these.
Numbers are added up in float32 and rounded once, where transformers rounds after each step.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from workers.engine.local.one_row import multiply_and_gate_row as multiply_and_gate_row
from workers.engine.local.one_row import multiply_row as multiply_row

ATTENTION = "torch's flash attention and a paged kernel"
PAGE_TOKENS = 64
# Heads that one program turns.
TURNED_HEADS = 4
# `tl.dot` wants 16 rows at least.
LEAST_DOT_ROWS = 16


@triton.jit
def _add_rms_norm(x, residual, weight, out, size, eps, ADD: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < size
    value = tl.load(x + row * size + columns, mask=inside, other=0.0).to(tl.float32)
    if ADD:
        value += tl.load(residual + row * size + columns, mask=inside, other=0.0).to(tl.float32)
    tl.store(residual + row * size + columns, value.to(residual.dtype.element_ty), mask=inside)
    value = value.to(residual.dtype.element_ty).to(tl.float32)
    scale = 1 / tl.sqrt(tl.sum(value * value, 0) / size + eps)
    scaled = value * scale * tl.load(weight + columns, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row * size + columns, scaled.to(out.dtype.element_ty), mask=inside)


def add_rms_norm(x: Tensor, residual: Tensor, weight: Tensor, eps: float, *, add: bool) -> Tensor:
    """Add x [rows, size] to the residual stream, in place, and return the RMS norm of the sum.

    Without `add` the residual stream begins anew with x. Formula: Zhang and Sennrich, "Root Mean Square Layer
    Normalization", 2019.
    """
    rows, size = x.shape
    out = torch.empty_like(x)
    block = triton.next_power_of_2(size)
    _add_rms_norm[(rows,)](
        x, residual, weight, out, size, eps, ADD=add, BLOCK=block, num_warps=8 if block > 1024 else 4
    )
    return out


@triton.jit
def _silu_and_multiply(gate_up, out, size, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < size
    gate = tl.load(gate_up + row * 2 * size + columns, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(gate_up + row * 2 * size + size + columns, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row * size + columns, (gate * tl.sigmoid(gate) * up).to(out.dtype.element_ty), mask=inside)


def silu_and_multiply(gate_up: Tensor) -> Tensor:
    """silu(gate) * up, from [rows, 2 * size] with the gates in the first half."""
    rows, size = gate_up.shape[0], gate_up.shape[1] // 2
    out = gate_up.new_empty(rows, size)
    _silu_and_multiply[(rows, triton.cdiv(size, 1024))](gate_up, out, size, BLOCK=1024)
    return out


@triton.jit
def _rotate_and_store(
    qkv, positions, slots, cosines, sines, keys, values, query_norm, key_norm, eps,
    HEADS: tl.constexpr, KEY_HEADS: tl.constexpr, SIZE: tl.constexpr, NORM: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    position = tl.load(positions + token)
    if position < 0:  # a row that only fills up the batch
        return
    HALF: tl.constexpr = SIZE // 2
    half = tl.arange(0, HALF)[None, :]
    head = (tl.program_id(1) * BLOCK + tl.arange(0, BLOCK))[:, None]
    turns = head < HEADS + KEY_HEADS
    is_key = turns & (head >= HEADS)
    is_value = (head >= HEADS + KEY_HEADS) & (head < HEADS + 2 * KEY_HEADS)
    source = qkv + (token * (HEADS + 2 * KEY_HEADS) + head) * SIZE + half
    first = tl.load(source, mask=turns | is_value, other=0.0).to(tl.float32)
    second = tl.load(source + HALF, mask=turns | is_value, other=0.0).to(tl.float32)
    slot = tl.load(slots + token).to(tl.int64) * KEY_HEADS
    value = values + (slot + head - HEADS - KEY_HEADS) * SIZE + half
    tl.store(value, first.to(values.dtype.element_ty), mask=is_value)
    tl.store(value + HALF, second.to(values.dtype.element_ty), mask=is_value)
    if NORM:
        squares = tl.sum(first * first, 1) + tl.sum(second * second, 1)
        scale = 1 / tl.sqrt(squares / SIZE + eps)[:, None]
        first *= scale * tl.where(is_key, tl.load(key_norm + half), tl.load(query_norm + half)).to(tl.float32)
        other_half = tl.where(is_key, tl.load(key_norm + HALF + half), tl.load(query_norm + HALF + half))
        second *= scale * other_half.to(tl.float32)
    cosine = tl.load(cosines + position * HALF + half)
    sine = tl.load(sines + position * HALF + half)
    turned_first = (first * cosine - second * sine).to(qkv.dtype.element_ty)
    turned_second = (second * cosine + first * sine).to(qkv.dtype.element_ty)
    tl.store(source, turned_first, mask=turns)
    tl.store(source + HALF, turned_second, mask=turns)
    key = keys + (slot + head - HEADS) * SIZE + half
    tl.store(key, turned_first, mask=is_key)
    tl.store(key + HALF, turned_second, mask=is_key)


def rotate_and_store(
    qkv: Tensor,
    positions: Tensor,
    slots: Tensor,
    cosines: Tensor,
    sines: Tensor,
    keys: Tensor,
    values: Tensor,
    norms: tuple[Tensor, Tensor, float] | None,
) -> None:
    """Turn queries and keys by their position, in place, and store keys and values in the cache.

    qkv [tokens, (heads + 2 * key heads) * size]; positions [tokens], negative for a token that is none; slots
    [tokens], the place of each token in the cache; cosines and sines [positions, size / 2] in float32; keys and values
    [pages, page tokens, key heads, size]. `norms`: weights for queries and keys and epsilon, of models that norm them.
    Formula: Su et al., "RoFormer", 2021, with the halves paired as transformers does it.
    """
    key_heads, size = keys.shape[2:]
    heads = qkv.shape[1] // size - 2 * key_heads
    query_norm, key_norm, eps = norms or (qkv, qkv, 0.0)
    _rotate_and_store[(qkv.shape[0], triton.cdiv(heads + 2 * key_heads, TURNED_HEADS))](
        qkv, positions, slots, cosines, sines, keys, values, query_norm, key_norm, eps,
        HEADS=heads, KEY_HEADS=key_heads, SIZE=size, NORM=norms is not None, BLOCK=TURNED_HEADS, num_warps=1,
    )  # fmt: skip


def prompt_attention(
    query: Tensor, key: Tensor, value: Tensor, ends: Tensor, longest: tuple[int, int], scale: float
) -> Tensor:
    """Attention of prompts' newest tokens, each over all that stand before it in its prompt and itself, by torch.

    Prompts stand one behind the other. query [new tokens, heads, size]; key and value [all tokens, key heads, size];
    ends [2, prompts + 1], where each prompt ends among the new tokens and among all, from 0 on; longest: the most new
    tokens and the most tokens of one prompt. Returns [new tokens, heads * size].
    The operation lines up the last tokens of both; torch's public function lines up the first, which is wrong here.
    """
    out: Tensor = torch.ops.aten._flash_attention_forward(
        query, key, value, ends[0], ends[1], *longest, 0.0, True, False, scale=scale
    )[0]
    return out.flatten(1)


@triton.jit
def _paged_attention(
    query, keys, values, tables, lengths, out, maxima, sums, scale, query_stride, table_stride,
    KEY_HEADS: tl.constexpr, GROUP: tl.constexpr, ROWS: tl.constexpr, SIZE: tl.constexpr, PAGE: tl.constexpr,
    SPLITS: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1)
    split = tl.program_id(2)
    length = tl.load(lengths + row) + 1  # the position of the newest token, and that token
    pages = (length + PAGE - 1) // PAGE
    pages_a_split = (pages + SPLITS - 1) // SPLITS
    first = split * pages_a_split
    last = tl.minimum(pages, first + pages_a_split)
    group = tl.arange(0, ROWS)
    sizes = tl.arange(0, SIZE)
    tokens = tl.arange(0, PAGE)
    mine = group[:, None] < GROUP
    q = tl.load(
        query + row * query_stride + (head * GROUP + group[:, None]) * SIZE + sizes[None, :], mask=mine, other=0.0
    )
    maximum = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    summed = tl.zeros([ROWS, SIZE], tl.float32)
    for number in range(first, last):
        page = tl.load(tables + row * table_stride + number).to(tl.int64)
        there = number * PAGE + tokens < length
        place = page * PAGE * KEY_HEADS * SIZE + head * SIZE
        # What is behind the newest token is another sequence's: not even multiplied by nought.
        k = tl.load(keys + place + tokens[None, :] * KEY_HEADS * SIZE + sizes[:, None], mask=there[None, :], other=0.0)
        scores = tl.dot(q, k) * scale
        scores = tl.where(there[None, :], scores, float("-inf"))
        higher = tl.maximum(maximum, tl.max(scores, 1))
        weights = tl.exp2(scores - higher[:, None])
        shrink = tl.exp2(maximum - higher)
        v = tl.load(
            values + place + tokens[:, None] * KEY_HEADS * SIZE + sizes[None, :], mask=there[:, None], other=0.0
        )
        summed = summed * shrink[:, None] + tl.dot(weights.to(v.dtype), v)
        total = total * shrink + tl.sum(weights, 1)
        maximum = higher
    place = (row * KEY_HEADS + head) * GROUP + group
    if SPLITS == 1:
        normed = summed / tl.where(total > 0, total, 1.0)[:, None]
        tl.store(out + place[:, None] * SIZE + sizes[None, :], normed.to(out.dtype.element_ty), mask=mine)
    else:
        tl.store(maxima + place * SPLITS + split, maximum, mask=group < GROUP)
        tl.store(sums + place * SPLITS + split, total, mask=group < GROUP)
        tl.store(out + (place[:, None] * SPLITS + split) * SIZE + sizes[None, :], summed, mask=mine)


@triton.jit
def _join_splits(parts, maxima, sums, out, SIZE: tl.constexpr, SPLITS: tl.constexpr):
    place = tl.program_id(0).to(tl.int64)
    splits = tl.arange(0, SPLITS)
    sizes = tl.arange(0, SIZE)
    maximum = tl.load(maxima + place * SPLITS + splits)
    highest = tl.max(maximum, 0)
    shrink = tl.where(maximum > float("-inf"), tl.exp2(maximum - highest), 0.0)
    total = tl.sum(tl.load(sums + place * SPLITS + splits) * shrink, 0)
    summed = tl.load(parts + (place * SPLITS + splits[:, None]) * SIZE + sizes[None, :])
    joined = tl.sum(summed * shrink[:, None], 0) / tl.where(total > 0, total, 1.0)
    tl.store(out + place * SIZE + sizes, joined.to(out.dtype.element_ty))


def paged_attention(
    qkv: Tensor, keys: Tensor, values: Tensor, tables: Tensor, positions: Tensor, scale: float, splits: int
) -> Tensor:
    """Attention of one new token in each row over all that stand before it in the row's pages, and itself.

    qkv [rows, (heads + 2 * key heads) * size], turned; keys and values [pages, page tokens, key heads, size]; tables
    [rows, pages a row] of page numbers; positions [rows] of the new tokens, negative for a row that is none, whose
    result is nought. Returns [rows, heads * size]. The sequence is read in `splits` parts at a time, a power of two,
    so that a few rows keep the whole GPU busy too.
    Online softmax: Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018; in parts: "Flash-Decoding
    for long-context inference", 2023.
    """
    rows, width = qkv.shape
    key_heads, size = keys.shape[2:]
    heads = width // size - 2 * key_heads
    out = qkv.new_empty(rows, heads * size)
    parts, maxima, sums = out, out, out
    if splits > 1:
        parts = qkv.new_empty(rows * heads, splits, size, dtype=torch.float32)
        maxima, sums = (qkv.new_empty(rows * heads, splits, dtype=torch.float32) for _ in range(2))
    group = heads // key_heads
    _paged_attention[(rows, key_heads, splits)](
        qkv, keys, values, tables, positions, parts, maxima, sums, scale * 1.4426950408889634, width, tables.stride(0),
        KEY_HEADS=key_heads, GROUP=group, ROWS=max(LEAST_DOT_ROWS, triton.next_power_of_2(group)), SIZE=size,
        PAGE=keys.shape[1], SPLITS=splits, num_warps=4, num_stages=3,
    )  # fmt: skip
    if splits > 1:
        _join_splits[(rows * heads,)](parts, maxima, sums, out, SIZE=size, SPLITS=splits)
    return out
