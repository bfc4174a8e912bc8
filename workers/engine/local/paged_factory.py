"""Makes a paged decoder for a model: whether it fits, and how many pages have room."""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedModel

from workers.engine.engine import ModelError
from workers.engine.local.dense import refuse_other_shapes
from workers.engine.local.hub_attention import with_hub_attention
from workers.engine.local.paged import PagedDecoder
from workers.engine.local.slots import UnfitModelError

HEAD_SIZES = (16, 32, 64, 128, 256)  # Triton's blocks are powers of two
# Of the memory that the weights leave; the rest is for one forward and the recorded graphs.
MEMORY_SHARE = 0.85
# Pages beyond those of all rows, for beginnings of prompts that nobody holds at the moment.
KNOWN_SHARE = 0.25


def make_paged(model: PreTrainedModel, slots: int, max_tokens: int, flash: Any = None) -> PagedDecoder:
    """A paged decoder with pages for `slots` whole sequences, or for as many as the GPU's memory leaves room for.

    `flash`: functions of the hub's that take the place of our attention.
    Raises UnfitModelError for a model that it does not compute, and ModelError where not even one sequence has room.
    """
    refuse_other_shapes(model)
    if model.dtype not in (torch.bfloat16, torch.float16):
        raise UnfitModelError(f"flash attention does not take {model.dtype}")
    try:
        from workers.engine.local import kernels
    except ImportError as error:
        raise UnfitModelError(f"Triton is missing ({error})") from error
    config = model.config
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    if head_size not in HEAD_SIZES:
        raise UnfitModelError(f"its heads have the size {head_size}")
    page_bytes = (
        2 * config.num_hidden_layers * kernels.PAGE_TOKENS * config.num_key_value_heads * head_size
    ) * model.dtype.itemsize
    torch.cuda.empty_cache()
    room = int(torch.cuda.mem_get_info(model.device)[0] * MEMORY_SHARE) // page_bytes
    pages_a_row = -(-max_tokens // kernels.PAGE_TOKENS)
    if room < pages_a_row:
        raise ModelError(
            f"a sequence of {max_tokens} tokens needs {pages_a_row} pages of {page_bytes / 1e6:.1f} MB and {room} fit "
            f"on the card: name a smaller model, or lower engine.max_prompt_tokens"
        )
    wanted = round(slots * pages_a_row * (1 + KNOWN_SHARE))
    chosen: Any = with_hub_attention(kernels, flash) if flash is not None else kernels
    return PagedDecoder(model, slots, max_tokens, min(room, wanted), chosen)
