"""Linear layers in 8 bits for the CPU, which is short of memory bandwidth: a quarter of the bytes a token.

A weight has one scale an output channel, an activation one scale a token, so that no token's rounding depends on its
neighbours in the batch.
"""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from workers.engine.local.heap import trim_heap

LEVELS = 127
# Rows of a layer's input that stand for decoding alone, decoding a full batch, and reading a prompt.
TRIED_ROWS = (1, 8, 256)
TRIED_TIMES = 5
# An 8-bit answer may differ from a float32 one, so it has to be worth it.
WORTH_IT = 1.3


class RoundedInput:
    """The last input that was rounded to 8 bits. Layers that are given the same tensor, as a model's query, key and
    value layers are, share the work.
    """

    def __init__(self) -> None:
        self._inputs: Tensor | None = None
        self._rounded = torch.empty(0, dtype=torch.int8)
        self._scale = torch.empty(0)

    def of(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The inputs as int8 [tokens, in], and their scales [tokens, 1]."""
        if inputs is not self._inputs:
            rows = inputs.reshape(-1, inputs.shape[-1])
            # A row of zeros has no scale; any will do.
            self._scale = rows.abs().amax(-1, keepdim=True).clamp_min_(torch.finfo(rows.dtype).tiny).div_(LEVELS)
            self._rounded = (rows / self._scale).round_().to(torch.int8)
            self._inputs = inputs
        return self._rounded, self._scale


class Int8Linear(nn.Module):
    """A linear layer of 8-bit weights in place of a float32 one."""

    weight: Tensor  # [out, in], int8
    scale: Tensor  # [out]
    bias: Tensor | None

    def __init__(self, linear: nn.Linear, rounded_input: RoundedInput) -> None:
        super().__init__()
        weight, scale = _round_weight(linear.weight)
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", linear.bias)
        self._rounded_input = rounded_input

    def forward(self, inputs: Tensor) -> Tensor:
        """Multiply in integers, and scale back."""
        rounded, scale = self._rounded_input.of(inputs)
        output = (torch._int_mm(rounded, self.weight.t()) * self.scale).mul_(scale)
        if self.bias is not None:
            output += self.bias
        return output.view(*inputs.shape[:-1], -1)


class Int8Embedding(nn.Module):
    """The input embedding of a model whose output layer has the same weights: rows of that layer, scaled back."""

    def __init__(self, output: Int8Linear) -> None:
        super().__init__()
        self._output = [output]  # in a list, since it is no part of this module but of the model

    def forward(self, tokens: Tensor) -> Tensor:
        """The rows of the tokens."""
        output = self._output[0]
        rows: Tensor = output.weight[tokens] * output.scale[tokens].unsqueeze(-1)
        return rows


def available() -> bool:
    """Whether this torch multiplies 8-bit matrices on the CPU; the operation has no promise of staying."""
    ones = torch.ones(2, 32, dtype=torch.int8)
    try:
        return bool((torch._int_mm(ones, ones.t()) == 32).all())
    except (AttributeError, RuntimeError):
        return False


def speed_up(model: PreTrainedModel) -> float:
    """How many times as fast the model's largest inner layer is in 8 bits, measured here and now."""
    layers = [layer for layer in model.base_model.modules() if type(layer) is nn.Linear]
    if not layers:
        return 0.0
    layer = max(layers, key=lambda one: one.weight.numel())
    rounded = Int8Linear(layer, RoundedInput())
    inputs = [torch.randn(rows, layer.in_features) for rows in TRIED_ROWS]
    ratios = [_fastest_s(layer, one) / _fastest_s(rounded, one) for one in inputs]
    return min(ratios)


@torch.inference_mode()
def to_int8(model: PreTrainedModel) -> None:
    """Replace a float32 model's linear layers one by one, each freeing its float32 weights before the next.

    The memory goes back to the system: of the built-in model the heap kept up to 300 MB.
    """
    rounded_input = RoundedInput()
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    tied = head is not None and embedding is not None and head.weight is embedding.weight
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            # Not subclasses: a model that computes something else in one knows why.
            if type(child) is not nn.Linear:
                continue
            layer = Int8Linear(child, rounded_input)
            setattr(parent, name, layer)
            if child is head and tied and type(embedding) is nn.Embedding:
                model.set_input_embeddings(Int8Embedding(layer))
    # What is left may be views of one mapped file, which would stay mapped as a whole.
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()
    trim_heap()


def _round_weight(weight: Tensor) -> tuple[Tensor, Tensor]:
    """A weight [out, in] as int8, and its scales [out]."""
    scale = weight.abs().amax(-1).clamp_min(torch.finfo(weight.dtype).tiny) / LEVELS
    return torch.round(weight / scale.unsqueeze(-1)).to(torch.int8), scale


@torch.inference_mode()
def _fastest_s(layer: nn.Module, inputs: Tensor) -> float:
    times = []
    for _ in range(TRIED_TIMES):
        started_at_s = time.perf_counter()
        layer(inputs.clone())  # another tensor each time, or rounding would be done once
        times.append(time.perf_counter() - started_at_s)
    return min(times)
