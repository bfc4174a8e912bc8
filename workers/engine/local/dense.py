"""The forward of a dense model of Llama's shape, in few operations: Llama, Mistral, Qwen2, Qwen3 and their kin.

It computes what transformers' own code does from the same weights (a trial at load compares the two), but multiplies
by query, key and value weights at once, and by gate and up at once, and leaves the rest to a few fused kernels.
What is done about attention is handed in, because reading a prompt and decoding differ in nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import PreTrainedModel

from workers.engine.local.slots import UnfitModelError

CLASSES = frozenset({"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"})
# Turned by the position alone; the others' angles depend on the length of the sequence.
FIXED_ROPES = frozenset({"default", "linear", "llama3", "yarn"})

# From (layer, query-key-value) to attention's result; it turns the queries and keys, and stores what it is to keep.
Attend = Callable[[int, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class DenseLayer:
    """The weights of one layer, joined where one product serves several."""

    norm: Tensor
    qkv: Tensor
    qkv_bias: Tensor | None
    norms: tuple[Tensor, Tensor, float] | None  # of queries and keys, where the model norms them
    out: Tensor
    out_bias: Tensor | None
    mlp_norm: Tensor
    gate_up: Tensor
    down: Tensor


class DenseModel:
    """Weights and forward. `kernels` is a module like `kernels.py`."""

    def __init__(self, model: PreTrainedModel, max_tokens: int, kernels: Any) -> None:
        config = model.config
        refuse_other_shapes(model)
        self.dtype, self.device = model.dtype, model.device
        self.layer_count: int = config.num_hidden_layers
        self.head_count: int = config.num_attention_heads
        self.key_head_count: int = config.num_key_value_heads
        self.head_size: int = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self.scale: float = model.model.layers[0].self_attn.scaling
        self._kernels = kernels
        self._eps: float = config.rms_norm_eps
        self._embeddings = model.model.embed_tokens.weight
        self._norm = model.model.norm.weight
        self._head = model.lm_head.weight
        self._layers = [_joined(layer, self._eps) for layer in model.model.layers]
        positions = torch.arange(max_tokens, device=self.device)[None]
        # In float32 whatever the model's dtype: bfloat16 cannot tell position 1,000 from 1,003.
        cosines, sines = model.model.rotary_emb(torch.empty(0, device=self.device, dtype=torch.float32), positions)
        half = self.head_size // 2
        self.cosines, self.sines = (one[0, :, :half].float().contiguous() for one in (cosines, sines))

    def forward(self, tokens: Tensor, attend: Attend) -> Tensor:
        """From token ids [tokens] to the last layer's states before the last norm's product, [tokens, hidden size]."""
        fused = self._kernels
        x = self._embeddings[tokens]
        residual = torch.empty_like(x)
        multiply, multiply_and_gate = self._products(len(tokens))
        for number, layer in enumerate(self._layers):
            x = fused.add_rms_norm(x, residual, layer.norm, self._eps, add=number > 0)
            x = multiply(attend(number, multiply(x, layer.qkv, layer.qkv_bias)), layer.out, layer.out_bias)
            x = fused.add_rms_norm(x, residual, layer.mlp_norm, self._eps, add=True)
            x = multiply(multiply_and_gate(x, layer.gate_up), layer.down)
        states: Tensor = fused.add_rms_norm(x, residual, self._norm, self._eps, add=True)
        return states

    def norms(self, layer: int) -> tuple[Tensor, Tensor, float] | None:
        """Weights by which a layer norms queries and keys, and epsilon; None for a model that does not."""
        return self._layers[layer].norms

    def logits(self, states: Tensor) -> Tensor:
        """From states [rows, hidden size] to logits [rows, vocabulary]."""
        return self._products(len(states))[0](states, self._head)

    def _products(self, rows: int) -> tuple[Callable[..., Tensor], Callable[[Tensor, Tensor], Tensor]]:
        """What multiplies so many rows by weights, and what does it with gate and up."""
        if rows == 1:
            return self._kernels.multiply_row, self._kernels.multiply_and_gate_row
        return linear, lambda x, weight: self._kernels.silu_and_multiply(linear(x, weight))


def refuse_other_shapes(model: PreTrainedModel) -> None:
    """Raise UnfitModelError for a model that `DenseModel` does not compute."""
    config = model.config
    name = type(model).__name__
    if name not in CLASSES:
        raise UnfitModelError(f"{name} is not of Llama's shape")
    if config.hidden_act != "silu":
        raise UnfitModelError(f"its activation is {config.hidden_act}")
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"} or (name == "MistralForCausalLM" and config.sliding_window):
        raise UnfitModelError("its layers look back over a window")
    rope = model.model.rotary_emb.rope_type
    if rope not in FIXED_ROPES:
        raise UnfitModelError(f"its rotary embedding is of the kind {rope}")
    if any(linear.bias is not None for linear in (model.lm_head, model.model.layers[0].mlp.down_proj)):
        raise UnfitModelError("its products have a bias where Llama's have none")


def _joined(layer: nn.Module, eps: float) -> DenseLayer:
    attention: Any = layer.self_attn
    mlp: Any = layer.mlp
    qkv, qkv_bias = _join(attention.q_proj, attention.k_proj, attention.v_proj)
    gate_up, _ = _join(mlp.gate_proj, mlp.up_proj)
    normed = hasattr(attention, "q_norm")
    norms = (attention.q_norm.weight, attention.k_norm.weight, eps) if normed else None
    before: Any = layer.input_layernorm
    after: Any = layer.post_attention_layernorm
    return DenseLayer(
        before.weight,
        qkv,
        qkv_bias,
        norms,
        attention.o_proj.weight,
        attention.o_proj.bias,
        after.weight,
        gate_up,
        mlp.down_proj.weight,
    )


@torch.no_grad()
def _join(*parts: Any) -> tuple[Tensor, Tensor | None]:
    """The weights of several products one above the other; the model's own become views of it, and take no room."""
    weight = torch.cat([part.weight for part in parts])
    start = 0
    for part in parts:
        end = start + part.weight.shape[0]
        part.weight.data = weight[start:end]
        start = end
    biases = [part.bias for part in parts]
    return weight, torch.cat(biases) if biases[0] is not None else None
