"""A hub's attention functions are taken where they are on this machine, and else nobody waits or reads of it."""

from __future__ import annotations

import importlib.util
import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub.constants
import pytest

from tests.workers.engine.local import plain_kernels
from tests.workers.engine.local.decoding import NEW_TOKENS, answer, generate, make, prompts, read
from workers.engine.local import check, hub_attention
from workers.engine.local.hub_attention import find_flash_attention, with_hub_attention
from workers.engine.local.paged import PagedDecoder

# The hub's functions with their arguments, by the formulas in plain torch.
FLASH = """
import torch
from tests.workers.engine.local import plain_kernels as plain

def flash_attn_varlen_func(q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, softmax_scale, causal):
    assert causal
    ends = torch.stack([cu_seqlens_q, cu_seqlens_k])
    return plain.prompt_attention(q, k, v, ends, (max_seqlen_q, max_seqlen_k), softmax_scale).view(q.shape), "sums"

def flash_attn_with_kvcache(q, k_cache, v_cache, cache_seqlens, page_table, softmax_scale, causal):
    assert causal and q.shape[1] == 1
    width = k_cache.shape[2] * k_cache.shape[3]
    qkv = torch.cat([q.flatten(1), q.new_zeros(len(q), 2 * width)], 1)
    positions = cache_seqlens - 1
    return plain.paged_attention(qkv, k_cache, v_cache, page_table, positions, softmax_scale, 1).view(q.shape)
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def put(cache: Path, code: str, name: str) -> None:
    """Put a kernel into the cache as the package `kernels` would; `name` is its module's."""
    commit = "a" * 40
    folder = cache / f"kernels--{hub_attention.REPOSITORY.replace('/', '--')}"
    build = folder / "snapshots" / commit / "build" / "torch-cpu"
    build.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / hub_attention.VERSION).write_text(commit)
    (build / "__init__.py").write_text(code)
    about = {"name": "flash-attn3", "id": name, "version": 1, "license": "MIT", "python-depends": []}
    (build / "metadata.json").write_text(json.dumps(about | {"backend": {"type": "cpu"}}))


def test_nothing_is_said_or_fetched_where_it_is_not(
    cache: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the files, and without the package, the next way is taken at once; no connection is tried."""
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("asked the network"))
    with caplog.at_level(logging.DEBUG, logger="workers"):
        assert find_flash_attention() is None
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        assert find_flash_attention() is None
    assert not caplog.records


def test_one_that_does_not_work_here_is_named_and_passed_over(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A kernel of another torch or another card fails when it is loaded: a line says so, and the start goes on."""
    put(cache, "raise ImportError('undefined symbol: _ZN3c10\\nand more')", "flash_attn3_broken")
    assert find_flash_attention() is None
    assert "cannot be used: undefined symbol: _ZN3c10" in caplog.text
    assert "and more" not in caplog.text


@pytest.mark.parametrize("architecture", ["llama", "qwen3"])
def test_its_tokens_equal_generate(cache: Path, architecture: str) -> None:
    """With the hub's functions in place of ours the answers are the model's own, and the log's line names them."""
    put(cache, FLASH, f"flash_attn3_plain_{architecture}")
    kernels = with_hub_attention(plain_kernels, find_flash_attention())
    decoder = PagedDecoder(make(architecture), 4, 200, 100, kernels)
    asked = prompts(5, 8, 40)
    wanted = [generate(make(architecture), prompt, NEW_TOKENS) for prompt in asked]
    assert answer(decoder, [read(decoder, prompt, 7) for prompt in asked], NEW_TOKENS) == wanted
    assert decoder.attention == hub_attention.NAME


def test_it_is_tried_first_on_a_gpu(cache: Path) -> None:
    """On a GPU the hub's attention comes before ours, and that before slots; on a CPU it is not looked for."""

    def names(device: str) -> list[str]:
        model: Any = SimpleNamespace(device=SimpleNamespace(type=device))
        return [name for name, _ in check.ways_to_decode(model)]

    assert names("cuda") == ["a paged cache", "batched decoding"]
    put(cache, FLASH, "flash_attn3_first")
    assert names("cuda") == ["a paged cache with the hub's attention", "a paged cache", "batched decoding"]
    assert names("cpu") == ["batched decoding"]
