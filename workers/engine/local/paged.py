"""The paged decoder: for GPUs. Many sequences over one cache of pages, each step of them one recorded graph.

Prompts are read by torch's own flash attention, as many at once as a step's limit has room for; what others have read
before of the same beginning is not read again (`pages.py`). Decoding is one forward for all rows, with attention
straight from the pages; it is recorded as a CUDA graph for some numbers of rows, because starting 300 kernels one by
one from Python takes longer than they run. A batch of another size is filled up with rows that are none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from workers.engine.local.decoder import Decoder
from workers.engine.local.dense import Attend, DenseModel
from workers.engine.local.pages import Held, Pages

FIRST_SIZES = (1, 2, 4, 8, 16, 24, 32, 48, 64)
LATER_SIZES_APART = 32
# Programs that keep a GPU of some hundred processors busy; fewer rows read their sequences in several parts.
ENOUGH_PROGRAMS = 256
MOST_SPLITS = 16
TOKEN, POSITION, FIRST_PAGE = 0, 1, 2  # columns of a row's numbers


@dataclass(slots=True, eq=False)
class _Prompt:
    """A prompt that is being read: its tokens, its pages, and how many tokens of it are in them."""

    tokens: list[int]
    held: Held
    read: int


class PagedDecoder(Decoder):
    """Decodes up to `slots` rows of up to `max_tokens` tokens, out of `page_count` pages of keys and values."""

    name = "paged"
    prefill_tokens = 2048
    runs_ahead = True

    def __init__(
        self, model: PreTrainedModel, slots: int, max_tokens: int, page_count: int, kernels: Any, *, graphs: bool = True
    ) -> None:
        self._dense = DenseModel(model, max_tokens, kernels)
        self._kernels = kernels
        self.attention: str = kernels.ATTENTION
        self._pages = Pages(page_count, kernels.PAGE_TOKENS)
        self._max_tokens = max_tokens
        device, dtype = self._dense.device, self._dense.dtype
        shape = (self._dense.layer_count, page_count, self._pages.size, self._dense.key_head_count)
        self._keys, self._values = (
            torch.zeros(*shape, self._dense.head_size, dtype=dtype, device=device) for _ in range(2)
        )
        self._reading: list[_Prompt] = []
        self._held: list[Held] = []  # of each row
        self._lengths: list[int] = []  # tokens in each row
        columns = FIRST_PAGE + self._pages.pages_for(max_tokens)
        on_gpu = device.type == "cuda"
        self._host = torch.zeros(slots, columns, dtype=torch.int32, pin_memory=on_gpu)
        self._numbers: np.ndarray[Any, Any] = self._host.numpy()  # the same memory
        self._inputs = torch.zeros(slots, columns, dtype=torch.int32, device=device)
        self._copied = torch.cuda.Event() if on_gpu else None  # type: ignore[no-untyped-call]
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, Tensor]] = {}
        if graphs and on_gpu:
            self._record(slots)

    # --- Decoder

    def begin(self, prompt: list[int], max_new_tokens: int) -> bool:
        """Set pages aside for all of the answer, and find what is known of the prompt."""
        held = self._pages.hold(prompt, min(len(prompt) + max_new_tokens, self._max_tokens))
        if held is None:
            return False
        self._reading.append(_Prompt(prompt, held, held.known_tokens))
        return True

    @property
    def unread(self) -> int:
        """Tokens that are left to read."""
        return sum(len(one.tokens) - one.read for one in self._reading)

    def give_up(self, number: int) -> None:
        """Give its pages back."""
        self._pages.give_back(self._reading.pop(number).held)

    @torch.inference_mode()
    def prefill(self, max_tokens: int) -> tuple[int, list[Tensor]]:
        """Read on in all prompts at once, the oldest first, by flash attention over what the pages hold of each."""
        pieces = []
        left = max_tokens
        for one in self._reading:
            count = min(left, len(one.tokens) - one.read)
            if count:
                pieces.append((one, one.read, one.read + count))
                left -= count
        states = self._dense.forward(*self._reading_of(pieces))
        for one, _, end in pieces:
            one.read = end
        lasts = np.cumsum([end - start for _, start, end in pieces]) - 1
        done = [index for index, (one, _, end) in enumerate(pieces) if end == len(one.tokens)]
        if not done:
            return max_tokens - left, []
        logits = self._dense.logits(states[self._on_device(lasts[done])])
        for index in done:
            self._append_row(pieces[index][0])
        return max_tokens - left, list(logits)

    @torch.inference_mode()
    def decode(self, tokens: list[int]) -> Tensor:
        """One forward for all rows, by the graph of the next larger size."""
        count = self.rows
        size = next((size for size in self._graphs if size >= count), count)
        self._host_numbers_settled()
        self._numbers[:count, TOKEN] = tokens
        self._numbers[:count, POSITION] = self._lengths
        self._numbers[count:size, POSITION] = -1
        self._inputs[:size].copy_(self._host[:size], non_blocking=True)
        if self._copied is not None:
            self._copied.record()
        self._lengths = [length + 1 for length in self._lengths]
        if size not in self._graphs:
            return self._forward_rows(self._inputs[:count])
        graph, logits = self._graphs[size]
        graph.replay()
        return logits[:count].clone()

    def release(self, row: int) -> None:
        """Drop a row; the last one takes its number. Nothing is copied but numbers of pages."""
        self._pages.give_back(self._held[row])
        last = self.rows - 1
        self._held[row] = self._held[last]
        self._lengths[row] = self._lengths[last]
        self._host_numbers_settled()
        self._numbers[row] = self._numbers[last]
        self._held.pop()
        self._lengths.pop()
        self.rows -= 1

    # --- parts

    def _host_numbers_settled(self) -> None:
        """Wait until the rows' numbers have been copied, which goes on behind our back: only then may they change."""
        if self._copied is not None:
            self._copied.synchronize()

    def _append_row(self, prompt: _Prompt) -> None:
        held = prompt.held
        self._pages.make_known(held)
        self._host_numbers_settled()
        numbers = self._numbers[self.rows]
        numbers[:] = 0
        numbers[FIRST_PAGE : FIRST_PAGE + len(held.pages)] = held.pages
        self._held.append(held)
        self._lengths.append(len(prompt.tokens))
        self._reading.remove(prompt)
        self.rows += 1

    def _record(self, slots: int) -> None:
        """Record a graph for each size of batch, the largest first: the others then share its memory."""
        pool = None
        recorded = {}
        for size in reversed(list(_sizes(slots))):
            self._inputs[:, POSITION] = -1
            inputs = self._inputs[:size]
            self._forward_rows(inputs)  # what compiles and measures at its first use must not be recorded
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.inference_mode(), torch.cuda.graph(graph, pool=pool):
                logits = self._forward_rows(inputs)
            pool = pool or graph.pool()
            recorded[size] = (graph, logits)
        self._graphs = dict(reversed(recorded.items()))

    @torch.inference_mode()
    def _forward_rows(self, inputs: Tensor) -> Tensor:
        """Logits of the next token of each row, [rows, vocabulary], from the rows' numbers."""
        tokens, positions, tables = inputs[:, TOKEN], inputs[:, POSITION].contiguous(), inputs[:, FIRST_PAGE:]
        page = tables.gather(1, (positions.clamp(min=0) // self._pages.size)[:, None].long())[:, 0]
        slots = page * self._pages.size + positions % self._pages.size
        splits = _splits(len(inputs) * self._dense.key_head_count)

        def attend(layer: int, qkv: Tensor) -> Tensor:
            self._store(layer, qkv, positions, slots)
            out: Tensor = self._kernels.paged_attention(
                qkv, self._keys[layer], self._values[layer], tables, positions, self._dense.scale, splits
            )
            return out

        return self._dense.logits(self._dense.forward(tokens, attend))

    def _store(self, layer: int, qkv: Tensor, positions: Tensor, slots: Tensor) -> None:
        dense = self._dense
        self._kernels.rotate_and_store(
            qkv,
            positions,
            slots,
            dense.cosines,
            dense.sines,
            self._keys[layer],
            self._values[layer],
            dense.norms(layer),
        )

    def _reading_of(self, pieces: list[tuple[_Prompt, int, int]]) -> tuple[Tensor, Attend]:
        """The tokens of some pieces of prompts, one behind the other, and the attention among each prompt's own."""
        size = self._pages.size
        positions = np.concatenate([np.arange(start, end) for _, start, end in pieces])
        # Where in the cache the tokens of each prompt stand, from its beginning to the piece's end.
        places = [
            np.asarray(one.held.pages)[np.arange(end) // size] * size + np.arange(end) % size for one, _, end in pieces
        ]
        slots = np.concatenate([own[start:] for own, (_, start, _) in zip(places, pieces, strict=True)])
        counts = [[end - start for _, start, end in pieces], [end for _, _, end in pieces]]
        ends = np.zeros((2, len(pieces) + 1), np.int32)
        ends[:, 1:] = np.cumsum(counts, 1)

        own_positions, own_slots, own_ends = map(self._on_device, (positions.astype(np.int32), slots, ends))
        gathered = self._on_device(np.concatenate(places)) if any(start for _, start, _ in pieces) else None
        longest = (max(counts[0]), max(counts[1]))

        def attend(layer: int, qkv: Tensor) -> Tensor:
            self._store(layer, qkv, own_positions, own_slots)
            query, key, value = self._split(qkv)
            if gathered is not None:  # keys and values of beginnings stand in pages
                key, value = (one[layer].flatten(0, 1)[gathered] for one in (self._keys, self._values))
            out: Tensor = self._kernels.prompt_attention(query, key, value, own_ends, longest, self._dense.scale)
            return out

        tokens = np.concatenate([np.asarray(one.tokens[start:end]) for one, start, end in pieces])
        return self._on_device(tokens), attend

    def _on_device(self, numbers: np.ndarray[Any, Any]) -> Tensor:
        """A copy on the GPU, by way of pinned memory: from any other, the GPU's earlier work would be waited for."""
        host = torch.from_numpy(numbers)
        if self._dense.device.type == "cuda":
            host = host.pin_memory()
        return host.to(self._dense.device, non_blocking=True)

    def _split(self, qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        dense = self._dense
        heads = qkv.view(len(qkv), -1, dense.head_size)
        keys_end = dense.head_count + dense.key_head_count
        return heads[:, : dense.head_count], heads[:, dense.head_count : keys_end], heads[:, keys_end:]


def _sizes(slots: int) -> Iterator[int]:
    """Sizes of batches that are recorded, up to `slots`."""
    for size in FIRST_SIZES:
        if size < slots:
            yield size
    yield from range(FIRST_SIZES[-1] + LATER_SIZES_APART, slots, LATER_SIZES_APART)
    yield slots


def _splits(programs: int) -> int:
    """In how many parts sequences are read, so that enough programs run: a power of two."""
    splits = 1
    while programs * splits < ENOUGH_PROGRAMS and splits < MOST_SPLITS:
        splits *= 2
    return splits
