"""Whether a model fits, told before it is loaded and not by the kernel in the middle of it."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from transformers import PreTrainedConfig

from workers.engine.engine import ModelError
from workers.engine.local.weights import weight_files

CGROUP = Path("/sys/fs/cgroup")
# What the process takes beside weights and cache: torch itself, and room for one forward.
OVERHEAD_BYTES = 400_000_000


@dataclass(frozen=True, slots=True)
class Need:
    """Memory that a model needs, in its parts."""

    parameters: int
    bytes_a_parameter: float
    cache_tokens: int
    cache_bytes_a_token: int

    @property
    def size_bytes(self) -> int:
        """All of it."""
        weights = self.parameters * self.bytes_a_parameter
        return math.ceil(weights + self.cache_tokens * self.cache_bytes_a_token + OVERHEAD_BYTES)

    def __str__(self) -> str:
        weights = self.parameters * self.bytes_a_parameter
        return (
            f"{_gb(self.size_bytes)} ({self.parameters / 1e6:,.0f} million parameters × "
            f"{self.bytes_a_parameter:g} bytes "
            f"= {_gb(weights)}, a cache of {self.cache_tokens:,} tokens × {self.cache_bytes_a_token / 1e3:,.1f} kB "
            f"= {_gb(self.cache_tokens * self.cache_bytes_a_token)}, and {_gb(OVERHEAD_BYTES)} beside)"
        )


def check_memory(need: Need, model: str, device: torch.device) -> None:
    """Raise ModelError, with the arithmetic, where a model does not fit into what is free."""
    free_bytes = _free_bytes(device)
    if need.size_bytes > free_bytes:
        where = "on the card" if device.type == "cuda" else "in memory"
        raise ModelError(
            f"the model {model} needs {need} and {_gb(free_bytes)} are free {where}: name a smaller model, "
            f"or lower engine.max_prompt_tokens or worker.max_in_flight"
        )


def need_of(folder: Path, config: PreTrainedConfig, dtype: torch.dtype, cache_tokens: int) -> Need:
    """What the model in a folder needs, from the headers of its files; nothing is loaded."""
    text = config.get_text_config()
    head_size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    key_heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    per_token = 2 * text.num_hidden_layers * key_heads * head_size * dtype.itemsize
    counts = [_parameters_in(folder / name) for name in weight_files(folder)]
    parameters, size_bytes = (sum(column) for column in zip(*counts, strict=True))
    # Quantised weights stay as they are in the file, where they are not unpacked; several may share a number there.
    bytes_a_parameter: float = dtype.itemsize
    if getattr(config, "quantization_config", None) is not None and parameters:
        bytes_a_parameter = max(size_bytes / parameters, dtype.itemsize if _device_unpacks(config) else 0)
    return Need(parameters, bytes_a_parameter, cache_tokens, per_token)


def _device_unpacks(config: PreTrainedConfig) -> bool:
    """Whether transformers unpacks a quantised checkpoint while it loads it here: 8-bit floats without a GPU."""
    quantization = config.quantization_config
    method = quantization.get("quant_method") if isinstance(quantization, dict) else quantization.quant_method
    return str(method) in ("fp8", "mxfp4") and not torch.cuda.is_available()


def _parameters_in(file: Path) -> tuple[int, int]:
    """The parameters in a safetensors file, and their bytes: 8 with the length of a JSON header, and that header."""
    try:
        with file.open("rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
            if length > file.stat().st_size:
                raise ValueError("its header is longer than the file")
            header = json.loads(opened.read(length))
        tensors = [entry for name, entry in header.items() if name != "__metadata__"]
        size_bytes = max((entry["data_offsets"][1] for entry in tensors), default=0)
        if 8 + length + size_bytes > file.stat().st_size:
            raise ValueError("it is shorter than its header says")
        return sum(math.prod(entry["shape"]) for entry in tensors), size_bytes
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{file} is no whole safetensors file ({error}): fetch the model again") from error


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = psutil.virtual_memory().available
    try:  # a container's limit, where there is one; cgroup v2
        limit, used = ((CGROUP / name).read_text().strip() for name in ("memory.max", "memory.current"))
    except OSError:
        return free
    return free if limit == "max" else min(free, max(0, int(limit) - int(used)))


def _gb(size_bytes: float) -> str:
    return f"{size_bytes / 1e9:,.1f} GB"
