"""Products of one row with a layer's weights, in Triton: what an answer that grows alone waits for.

Such a product is bound by reading the weights once, and torch's leaves a tenth of the bandwidth for the large ones and
a third for the small ones. A program reads two lines of weights: more in flight at a time, for a GPU of some hundred
processors, than with larger tiles.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

LINES, BLOCK_IN, WARPS = 2, 512, 2


@triton.jit
def _multiply_row(
    x, weight, bias, out, inner, outer,
    BIAS: tl.constexpr, GATE: tl.constexpr, BLOCK_OUT: tl.constexpr, BLOCK_IN: tl.constexpr,
):  # fmt: skip
    outs = tl.program_id(0) * BLOCK_OUT + tl.arange(0, BLOCK_OUT)
    there = outs < outer
    lines = weight + outs.to(tl.int64)[:, None] * inner
    lines_up = weight + (outs + outer).to(tl.int64)[:, None] * inner
    sums = tl.zeros([BLOCK_OUT, BLOCK_IN], tl.float32)
    sums_up = tl.zeros([BLOCK_OUT, BLOCK_IN], tl.float32)
    for start in range(0, inner, BLOCK_IN):
        ins = start + tl.arange(0, BLOCK_IN)
        both = there[:, None] & (ins < inner)[None, :]
        value = tl.load(x + ins, mask=ins < inner, other=0.0).to(tl.float32)[None, :]
        sums += value * tl.load(lines + ins[None, :], mask=both, other=0.0).to(tl.float32)
        if GATE:
            sums_up += value * tl.load(lines_up + ins[None, :], mask=both, other=0.0).to(tl.float32)
    result = tl.sum(sums, 1)
    if BIAS:
        result += tl.load(bias + outs, mask=there, other=0.0).to(tl.float32)
    if GATE:
        result = result * tl.sigmoid(result) * tl.sum(sums_up, 1)
    tl.store(out + outs, result.to(out.dtype.element_ty), mask=there)


def multiply_row(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """X [1, in] times weight [out, in], plus bias; [1, out]."""
    outer, inner = weight.shape
    out = x.new_empty(1, outer)
    _multiply_row[(triton.cdiv(outer, LINES),)](
        x, weight, weight if bias is None else bias, out, inner, outer,
        BIAS=bias is not None, GATE=False, BLOCK_OUT=LINES, BLOCK_IN=BLOCK_IN, num_warps=WARPS,
    )  # fmt: skip
    return out


def multiply_and_gate_row(x: Tensor, weight: Tensor) -> Tensor:
    """silu(gate) * up of x [1, in] times weight [2 * out, in], the gates in the first half; [1, out]."""
    outer, inner = weight.shape[0] // 2, weight.shape[1]
    out = x.new_empty(1, outer)
    half = LINES // 2  # each of them has a line of the gate and one of up
    _multiply_row[(triton.cdiv(outer, half),)](
        x, weight, weight, out, inner, outer,
        BIAS=False, GATE=True, BLOCK_OUT=half, BLOCK_IN=BLOCK_IN, num_warps=WARPS,
    )  # fmt: skip
    return out
