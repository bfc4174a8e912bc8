"""FlashAttention-3 from a model hub, where it stands in the hub's cache on this machine; nothing is fetched here.

It comes by the package `kernels` (docs/engine.md says how), and takes the place of the two attention functions of
`kernels.py`; the rest of the forward stays.
"""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from torch import Tensor

log = logging.getLogger(__name__)

REPOSITORY, VERSION = "kernels-community/flash-attn3", "v1"
NAME = "FlashAttention-3 of the hub"


def find_flash_attention() -> ModuleType | None:
    """The hub's functions; None, at once and without a word, where package or cached files are missing."""
    if importlib.util.find_spec("kernels") is None:
        return None
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError
    from kernels import get_local_kernel

    try:
        folder = snapshot_download(REPOSITORY, repo_type="kernel", revision=VERSION, local_files_only=True)
        found: ModuleType = get_local_kernel(Path(folder))
    except LocalEntryNotFoundError:
        return None
    except Exception as error:  # code of others, for another card or another torch: the next way takes its place
        log.warning("%s is on this machine and cannot be used: %s", NAME, str(error).strip().partition("\n")[0])
        return None
    return found


def with_hub_attention(kernels: Any, flash: Any) -> SimpleNamespace:
    """The kernels, with attention by the hub's functions."""

    def prompt_attention(
        query: Tensor, key: Tensor, value: Tensor, ends: Tensor, longest: tuple[int, int], scale: float
    ) -> Tensor:
        out = flash.flash_attn_varlen_func(
            query, key, value, cu_seqlens_q=ends[0], cu_seqlens_k=ends[1], max_seqlen_q=longest[0],
            max_seqlen_k=longest[1], softmax_scale=scale, causal=True,
        )  # fmt: skip
        return _first(out).flatten(1)

    def paged_attention(
        qkv: Tensor, keys: Tensor, values: Tensor, tables: Tensor, positions: Tensor, scale: float, splits: int
    ) -> Tensor:
        del splits  # it has its own way of keeping a GPU busy
        key_heads, size = keys.shape[2:]
        query = qkv.view(len(qkv), 1, -1, size)[:, :, : -2 * key_heads]
        out = flash.flash_attn_with_kvcache(
            query, keys, values, cache_seqlens=positions + 1, page_table=tables, softmax_scale=scale, causal=True
        )
        return _first(out).reshape(len(qkv), -1)

    return SimpleNamespace(
        **{name: one for name, one in vars(kernels).items() if not name.startswith("_")}
        | {"prompt_attention": prompt_attention, "paged_attention": paged_attention, "ATTENTION": NAME}
    )


def _first(out: Any) -> Tensor:
    """Some versions return sums beside the result."""
    result: Tensor = out[0] if isinstance(out, tuple) else out
    return result
