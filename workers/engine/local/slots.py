"""The slot decoder: one batched forward for all rows, each row's keys and values in a slot of its own.

A prompt is read alone, into a slot for reading, and then copied into the next free row. Decoding is one forward of the
model with one token a row, each at its own position. Rows are always 0 to n-1, so that no gather is needed.
The model's own code runs unchanged: it is given a cache that writes into the slots, and an attention function that
reads them, so that any model of transformers that uses both works; the trial of `check.py` tells whether one does.

The slot for reading keeps the last prompt, and a prompt that begins with the same tokens reads on from there: the
instructions that stand before every question are read once. Keys and values at a position depend on no later token.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel
from transformers.cache_utils import Cache

from workers.engine.local.decoder import Decoder
from workers.engine.local.heap import trim_heap

Pair = tuple[Tensor, Tensor]
# Slots grow by so much at least: each time all of them are copied.
ROOM_STEP_TOKENS = 128
# So many tokens of a prompt look at a time on a CPU, at what stands before the last of them: that is little more than
# half of the products, and their scores stay in the processor's cache.
LOT_TOKENS = 64
_numbers = itertools.count()
# What modules hand on to their attention and what changes nothing there.
HARMLESS = frozenset({"position_ids", "cache_position", "use_cache", "logits_to_keep", "is_causal"})


class UnfitModelError(Exception):
    """The model's attention asks for something that slots do not do."""


class SlotCache(Cache):  # type: ignore[misc]  # transformers is untyped to mypy
    """Keys and values of all rows, and of the prompt that is being read.

    One pair of tensors a layer and place, of shape [rows, key heads, tokens, head size], made at the layer's first
    use, since only the layer knows its sizes, and made longer when a longer sequence comes.
    Zeros, because what is masked is still multiplied by nought.
    """

    def __init__(self, slots: int, max_tokens: int) -> None:
        super().__init__(layers=[])
        self.slots = slots
        self.max_tokens = max_tokens
        self.reading = False
        self.read = 0  # tokens of the prompt that are in the slot for reading
        self.lengths: list[int] = []  # tokens in each row
        self.positions = torch.empty(0, dtype=torch.long)  # the next position of each row
        self._rows: dict[int, Pair] = {}
        self._slot: dict[int, Pair] = {}
        self._has_grown = False

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Store what the layer has computed for the new tokens; returns views of all that it may look at."""
        del args, kwargs  # other caches' options
        if self.reading:
            end = self.read + key_states.shape[2]
            stored = self._fitting(self._slot, 1, layer_idx, end, (key_states, value_states))
            for tensor, states in zip(stored, (key_states, value_states), strict=True):
                tensor[:, :, self.read : end] = states
            return stored[0][:, :, :end], stored[1][:, :, :end]
        count, end = len(self.lengths), max(self.lengths) + 1
        stored = self._fitting(self._rows, self.slots, layer_idx, end, (key_states, value_states))
        rows = torch.arange(count, device=key_states.device)
        for tensor, states in zip(stored, (key_states, value_states), strict=True):
            tensor[rows, :, self.positions] = states[:, :, 0]
        return stored[0][:count, :, :end], stored[1][:count, :, :end]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens stored, as models ask that place the new ones behind them; ours are told each position instead."""
        del layer_idx
        return self.read if self.reading else max(self.lengths, default=0)

    def append_row(self) -> None:
        """The prompt that has been read becomes the last row."""
        row = len(self.lengths)
        for layer, read in self._slot.items():
            stored = self._fitting(self._rows, self.slots, layer, self.read, read)
            for tensor, source in zip(stored, read, strict=True):
                tensor[row, :, : self.read] = source[0, :, : self.read]
        self.lengths.append(self.read)

    def drop_row(self, row: int) -> None:
        """Drop a row and move the last one into its place.

        Its slot is cleared, so that nothing of one answer, and no infinity that a sum went to, meets the next one.
        """
        last = len(self.lengths) - 1
        for tensors in self._rows.values():
            for tensor in tensors:
                if row != last:
                    tensor[row, :, : self.lengths[last]] = tensor[last, :, : self.lengths[last]]
                    tensor[row, :, self.lengths[last] : self.lengths[row]] = 0
                tensor[last, :, : self.lengths[last]] = 0
        self.lengths[row] = self.lengths[last]
        self.lengths.pop()

    def _fitting(self, place: dict[int, Pair], rows: int, layer: int, tokens: int, like: Pair) -> Pair:
        """A layer's tensors in a place, with room for `tokens` a row; `like` has their heads, sizes and kind."""
        stored = place.get(layer)
        room = stored[0].shape[2] if stored else 0
        if stored and room >= tokens:
            return stored
        longer = min(self.max_tokens, math.ceil(tokens / ROOM_STEP_TOKENS) * ROOM_STEP_TOKENS)
        keys, values = (one.new_zeros(rows, one.shape[1], longer, one.shape[3]) for one in like)
        if stored:
            keys[:, :, :room], values[:, :, :room] = stored
            self._has_grown = True
        place[layer] = (keys, values)
        return place[layer]

    def trim(self) -> None:
        """Give back what longer tensors have replaced; without it a cache that grew bit by bit took twice its size."""
        if self._has_grown:
            self._has_grown = False
            trim_heap()


class SlotDecoder(Decoder):
    """Decodes up to `slots` rows of up to `max_tokens` tokens. Takes over the model's attention; one at a time."""

    name = "slots"
    attention = "torch's SDPA"

    def __init__(self, model: PreTrainedModel, slots: int, max_tokens: int) -> None:
        if not getattr(model, "_supports_attention_backend", False):
            raise UnfitModelError("its attention cannot be replaced")
        self._model = model
        self._cache = SlotCache(slots, max_tokens)
        self._prompt: list[int] = []
        self._prompt_is_open = False
        self._before = model.config._attn_implementation
        self._masks: dict[int | None, Tensor | None] = {}
        name = f"fennel_slots_{next(_numbers)}"  # the registry is the process's, and the function this decoder's
        AttentionInterface.register(name, self._attend)
        model.set_attn_implementation(name)

    def restore(self) -> None:
        """Give the model its own attention back."""
        self._model.set_attn_implementation(self._before)

    def begin(self, prompt: list[int], max_new_tokens: int) -> bool:
        """Begin to read a prompt behind what it has in common with the last one; each slot has room for any."""
        del max_new_tokens  # slots grow with the answers, which seldom get so long
        if self._prompt_is_open:
            return False
        self._prompt_is_open = True
        known = self._prompt[: self._cache.read]
        self._prompt = prompt
        # The last token is always read again: its logits are wanted.
        self._cache.read = _common(known, prompt[:-1])
        return True

    def give_up(self, number: int) -> None:
        """Leave the prompt where it is; what has been read of it may serve the next one."""
        del number
        self._prompt_is_open = False

    @torch.inference_mode()
    def prefill(self, max_tokens: int) -> tuple[int, list[Tensor]]:
        """Read on."""
        start = self._cache.read
        end = min(len(self._prompt), start + max_tokens)
        self._cache.reading = True
        logits = self._forward([self._prompt[start:end]], [list(range(start, end))])
        self._cache.read = end
        if end < len(self._prompt):
            return end - start, []
        self._cache.append_row()
        self._cache.trim()
        self._prompt_is_open = False
        self.rows += 1
        return end - start, [logits[0]]

    @torch.inference_mode()
    def decode(self, tokens: list[int]) -> Tensor:
        """One forward for all rows."""
        cache = self._cache
        cache.reading = False
        cache.positions = torch.tensor(cache.lengths, device=self._model.device)
        logits = self._forward([[token] for token in tokens], [[length] for length in cache.lengths])
        cache.trim()
        cache.lengths = [length + 1 for length in cache.lengths]
        return logits

    @torch.inference_mode()
    def release(self, row: int) -> None:
        """Drop a row."""
        self._cache.drop_row(row)
        self.rows -= 1

    def _forward(self, tokens: list[list[int]], positions: list[list[int]]) -> Tensor:
        self._masks.clear()
        device = self._model.device
        output = self._model(
            input_ids=torch.tensor(tokens, device=device),
            position_ids=torch.tensor(positions, device=device),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: Tensor = output.logits[:, -1]
        return logits

    def _attend(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        *,
        scaling: float | None = None,
        dropout: float = 0.0,
        sliding_window: int | None = None,
        **more: object,
    ) -> tuple[Tensor, None]:
        """The attention function that the model's layers call; see transformers' AttentionInterface."""
        del module, dropout
        unknown = [
            name for name, given in more.items() if name not in HARMLESS and given is not None and given is not False
        ]
        if unknown or attention_mask is not None:
            raise UnfitModelError(f"its attention asks for {', '.join(unknown) or 'a mask of its own'}")
        mask = self._mask(query.shape[2], key.shape[2], sliding_window, query.device)
        rows, heads, count, size = query.shape
        key_heads = key.shape[1]
        if count == 1:
            # The query heads that share a key head are folded into one query of several rows: nothing is repeated.
            query = query.view(rows, key_heads, heads // key_heads, size)
            out = scaled_dot_product_attention(query, key, value, mask, scale=scaling)
            return out.reshape(rows, 1, heads, value.shape[3]), None
        key, value = (one.repeat_interleave(heads // key_heads, 1) for one in (key, value))
        if mask is None:
            out = scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling)
        else:
            lot = LOT_TOKENS if query.device.type == "cpu" else count
            out = torch.cat(
                [
                    _attend_lot(query, key, value, mask, (start, min(count, start + lot)), scaling)
                    for start in range(0, count, lot)
                ],
                2,
            )
        return out.transpose(1, 2), None

    def _mask(self, count: int, end: int, window: int | None, device: torch.device) -> Tensor | None:
        """True where a new token may look; None for "at all before it" where the prompt is read from its start.

        The layers of one forward share it. A token sees itself and the `window - 1` before it.
        """
        if window not in self._masks:
            cache = self._cache
            from_start = cache.reading and cache.read == 0 and (window is None or count <= window)
            if from_start and count > 1 and (count <= LOT_TOKENS or device.type != "cpu"):
                self._masks[window] = None
            else:
                if cache.reading:
                    own = torch.arange(cache.read, cache.read + count, device=device).view(1, 1, count, 1)
                else:
                    own = cache.positions.view(-1, 1, 1, 1)
                seen = torch.arange(end, device=device)
                mask = seen <= own
                if window is not None:
                    mask &= seen > own - window
                self._masks[window] = mask
        return self._masks[window]


def _attend_lot(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, lot: tuple[int, int], scale: float | None
) -> Tensor:
    """The attention of a lot of the new tokens, which are the last of those that key and value stand for."""
    start, end = lot
    seen = key.shape[2] - query.shape[2] + end
    return scaled_dot_product_attention(
        query[:, :, start:end], key[:, :, :seen], value[:, :, :seen], mask[:, :, start:end, :seen], scale=scale
    )


def _common(one: list[int], other: list[int]) -> int:
    """How many tokens both begin with."""
    for index, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return index
    return min(len(one), len(other))
