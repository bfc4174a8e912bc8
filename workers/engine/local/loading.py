"""Loading a model: files, memory, dtype, threads, decoder, chat template."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedConfig, PreTrainedModel

from config.sections import EngineSettings
from workers.engine.engine import ModelError, Progress
from workers.engine.local import int8
from workers.engine.local.chat import ChatFormat
from workers.engine.local.check import choose_decoder
from workers.engine.local.decoder import Decoder
from workers.engine.local.memory import Need, check_memory, need_of
from workers.engine.local.quiet import quieten_libraries
from workers.engine.local.weights import find_weights

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that is ready to decode, with all that belongs to it."""

    decoder: Decoder
    chat: ChatFormat
    tokenizer: Tokenizer
    max_prompt_tokens: int
    max_new_tokens: int
    about: Mapping[str, str]


def load_model(settings: EngineSettings, models_folder: Path, slots: int, progress: Progress) -> LoadedModel:
    """Load the model that the settings name. Raises ModelError where that cannot be."""
    quieten_libraries()
    device = choose_device(settings.device)
    threads = settings.threads or default_threads()
    torch.set_num_threads(threads)
    folder = find_weights(settings.model, models_folder, lambda what, share: progress(what, share * 0.7))
    progress("loading the model", 0.7)
    config = _read(AutoConfig, folder, settings.model)
    dtype = choose_dtype(settings.dtype, device)
    max_prompt_tokens = _max_prompt_tokens(settings, config)
    max_tokens = max_prompt_tokens + settings.max_new_tokens
    check_memory(need_with(settings, slots, folder, config, device), settings.model, device)
    tokenizer = _read(AutoTokenizer, folder, settings.model)
    model = _read(AutoModelForCausalLM, folder, settings.model, dtype=dtype).to(device).eval()
    chat = ChatFormat(tokenizer, model.generation_config, settings.model)
    progress("trying the model", 0.9)
    # Before rounding, whose own error would hide what the decoder does wrong.
    decoder = choose_decoder(model, slots, max_tokens)
    in_8_bits = round_where_wanted(model, settings.dtype, device)
    dtype_name = "int8" if in_8_bits else str(dtype).removeprefix("torch.")
    about = {"device": str(device), "dtype": dtype_name, "decoder": decoder.name, "attention": decoder.attention}
    if device.type == "cpu":
        about["threads"] = str(threads)
    return LoadedModel(decoder, chat, tokenizer.backend_tokenizer, max_prompt_tokens, settings.max_new_tokens, about)


def need_with(
    settings: EngineSettings, slots: int, folder: Path, config: PreTrainedConfig, device: torch.device
) -> Need:
    """What the model of a folder needs with the settings, for `slots` answers at a time. Raises ModelError."""
    max_tokens = _max_prompt_tokens(settings, config) + settings.max_new_tokens
    # One more than the slots: the prompt that is being read.
    return need_of(folder, config, choose_dtype(settings.dtype, device), (slots + 1) * max_tokens)


def choose_device(wanted: str) -> torch.device:
    """The device of the setting `engine.device`; "auto" is a GPU where there is one."""
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise ModelError(
            "engine.device is cuda and torch finds no GPU here: set it to auto or cpu, or install the gpu extra"
        )
    return torch.device("cuda" if available and wanted != "cpu" else "cpu")


def choose_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """The dtype that a model is loaded in for the setting `engine.dtype`; "auto" is one that the device is quick with.

    For "int8" it is float32, which is rounded to 8 bits once it is loaded.
    """
    if wanted == "int8":
        if device.type == "cuda":
            raise ModelError("engine.dtype=int8 is for the CPU: set it to auto or bfloat16 for a GPU")
        return torch.float32
    if wanted != "auto":
        dtype: torch.dtype = getattr(torch, wanted)
        return dtype
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.float32


def round_where_wanted(model: PreTrainedModel, wanted: str, device: torch.device) -> bool:
    """Round a model to 8 bits where the setting asks for it, or leaves it open and this CPU is quicker with it."""
    if device.type != "cpu" or wanted not in ("auto", "int8"):
        return False
    if getattr(model, "hf_quantizer", None) is not None:  # it is quantised already
        return False
    if not int8.available():
        if wanted == "int8":
            raise ModelError(
                "engine.dtype=int8 needs a torch that multiplies 8-bit matrices on this CPU: set it to auto"
            )
        return False
    if wanted == "auto":
        ratio = int8.speed_up(model)
        chosen = ratio >= int8.WORTH_IT
        log.info("dtype %s: int8 is %.1f times as fast as float32 here", "int8" if chosen else "float32", ratio)
        if not chosen:
            return False
    int8.to_int8(model)
    return True


def default_threads() -> int:
    """One thread fewer than physical cores, at least one: threads that wait for a busy core slow all others down."""
    cores = psutil.cpu_count(logical=False) or 1
    return max(1, int(cores) - 1)


def _max_prompt_tokens(settings: EngineSettings, config: PreTrainedConfig) -> int:
    """The prompts' limit: the setting's, or less where the model knows fewer positions."""
    positions: int | None = getattr(config.get_text_config(), "max_position_embeddings", None)
    if not positions:
        return settings.max_prompt_tokens
    room = positions - settings.max_new_tokens
    if room < 1:
        raise ModelError(
            f"the model {settings.model} takes {positions} tokens in all, and engine.max_new_tokens alone is "
            f"{settings.max_new_tokens}: lower it"
        )
    return min(settings.max_prompt_tokens, room)


def _read(auto_class: Any, folder: Path, model: str, **options: object) -> Any:
    """Load a part of a model from its folder, without a look at the network. Raises ModelError."""
    try:
        return auto_class.from_pretrained(folder, local_files_only=True, **options)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        log.exception("%s of %s", auto_class.__name__, folder)
        first_line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ModelError(f"the model {model} cannot be loaded from {folder}: {first_line}") from error
