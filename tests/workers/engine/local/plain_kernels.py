"""What `workers/engine/local/kernels.py` computes, in plain torch and as its formulas stand, for any device."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

ATTENTION = "plain torch"
PAGE_TOKENS = 8


def add_rms_norm(x: Tensor, residual: Tensor, weight: Tensor, eps: float, *, add: bool) -> Tensor:
    residual.copy_(residual + x if add else x)
    wide = residual.to(torch.promote_types(x.dtype, torch.float32))
    return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps) * weight).to(x.dtype)


def silu_and_multiply(gate_up: Tensor) -> Tensor:
    gate, up = gate_up.chunk(2, -1)
    return torch.nn.functional.silu(gate) * up


def multiply_row(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return torch.nn.functional.linear(x, weight, bias)


def multiply_and_gate_row(x: Tensor, weight: Tensor) -> Tensor:
    return silu_and_multiply(x @ weight.T)


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
    key_heads, size = keys.shape[2:]
    heads = qkv.view(len(qkv), -1, size)
    turned = heads.shape[1] - key_heads
    real = positions >= 0
    states = heads[real, :turned]
    if norms is not None:
        query_norm, key_norm, eps = norms
        weight = torch.cat([query_norm.expand(turned - key_heads, -1), key_norm.expand(key_heads, -1)])
        states = states * torch.rsqrt(states.pow(2).mean(-1, keepdim=True) + eps) * weight
    first, second = states.chunk(2, -1)
    cosine, sine = (angles[positions[real].long()][:, None] for angles in (cosines, sines))
    states = torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1)
    heads[real, :turned] = states
    keys.flatten(0, 1)[slots[real]] = states[:, turned - key_heads :]
    values.flatten(0, 1)[slots[real]] = heads[real, turned:]


def prompt_attention(
    query: Tensor, key: Tensor, value: Tensor, ends: Tensor, longest: tuple[int, int], scale: float
) -> Tensor:
    del longest  # the ends say it
    borders = zip(*(list(itertools.pairwise(one)) for one in ends.tolist()), strict=True)
    return torch.cat([_attention(query[a:b], key[c:d], value[c:d], scale) for (a, b), (c, d) in borders])


def _attention(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    new, count = len(query), len(key)
    group = query.shape[1] // key.shape[1]
    scores = torch.einsum("nhd,mhd->hnm", query, key.repeat_interleave(group, 1)) * scale
    later = torch.arange(count)[None] > torch.arange(count - new, count)[:, None]
    weights = scores.masked_fill(later.to(scores.device), float("-inf")).softmax(-1)
    return torch.einsum("hnm,mhd->nhd", weights, value.repeat_interleave(group, 1)).flatten(1)


def paged_attention(
    qkv: Tensor, keys: Tensor, values: Tensor, tables: Tensor, positions: Tensor, scale: float, splits: int
) -> Tensor:
    del splits  # the result does not depend on them
    key_heads, size = keys.shape[2:]
    heads = qkv.shape[1] // size - 2 * key_heads
    out = qkv.new_zeros(len(qkv), heads * size)
    for row, position in enumerate(positions.tolist()):
        if position >= 0:
            key, value = (one[tables[row].long()].flatten(0, 1)[: position + 1] for one in (keys, values))
            query = qkv[row].view(-1, size)[None, :heads]
            out[row] = _attention(query, key, value, scale)[0]
    return out
