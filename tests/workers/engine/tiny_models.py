"""Chat models that take milliseconds: every architecture with a handful of random weights and a tokenizer of bytes."""

import copy
import json
from pathlib import Path
from typing import Any

import gguf
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    FalconConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    PhiConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2MoeConfig,
    Qwen3Config,
)

TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
NO_SYSTEM_TEMPLATE = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + TEMPLATE
)
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
VOCABULARY = 320

_SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 640,
    "bos_token_id": None,
    "eos_token_id": 256,
    "pad_token_id": 256,
    "initializer_range": 0.35,  # large enough that answers differ and do not hang on rounding
}
_WINDOW = {"sliding_window": 24}

# By name: a configuration, and the decoder that fits it.
ARCHITECTURES: dict[str, tuple[PreTrainedConfig, str]] = {
    "llama": (LlamaConfig(**_SIZES), "slots"),
    "llama-tied-one-key-head": (
        LlamaConfig(**_SIZES | {"num_key_value_heads": 1, "tie_word_embeddings": True}),
        "slots",
    ),
    "qwen2": (Qwen2Config(**_SIZES), "slots"),
    "qwen2-window": (Qwen2Config(**_SIZES, **_WINDOW, use_sliding_window=True, max_window_layers=1), "slots"),
    "qwen3": (Qwen3Config(**_SIZES, head_dim=16), "slots"),
    "mistral-window": (MistralConfig(**_SIZES, **_WINDOW), "slots"),
    "gemma3-window": (Gemma3TextConfig(**_SIZES, **_WINDOW, head_dim=16, sliding_window_pattern=2), "slots"),
    "phi": (PhiConfig(**_SIZES), "slots"),
    "qwen2-moe": (
        Qwen2MoeConfig(
            **_SIZES, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=32, shared_expert_intermediate_size=32
        ),
        "slots",
    ),
    "gpt2": (
        GPT2Config(vocab_size=VOCABULARY, n_embd=48, n_layer=2, n_head=4, n_positions=640, initializer_range=0.35),
        "slots",
    ),
    "gemma2-softcap": (Gemma2Config(**_SIZES, **_WINDOW, head_dim=16), "serial"),
    "falcon-alibi": (
        FalconConfig(vocab_size=VOCABULARY, hidden_size=48, num_hidden_layers=2, num_attention_heads=6, alibi=True),
        "serial",
    ),
}


def random_model(architecture: str, seed: int = 1) -> PreTrainedModel:
    """A model of one of the architectures with random weights, ready for use."""
    torch.manual_seed(seed)
    # A copy: a decoder that takes over a model's attention says so in the model's configuration.
    config = copy.deepcopy(ARCHITECTURES[architecture][0])
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def make_model(folder: Path, architecture: str = "llama", template: str | None = TEMPLATE) -> Path:
    """Write such a model into a folder, with tokenizer and chat template, as a hub would give it."""
    model = random_model(architecture)
    model.generation_config.eos_token_id = 256
    model.save_pretrained(folder)
    make_tokenizer(template).save_pretrained(folder)
    return folder


def make_gguf(file: Path) -> Path:
    """Write a tiny llama with random 8-bit weights into a GGUF file, as llama.cpp's tools would."""
    config = LlamaConfig(**_SIZES | {"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2})
    torch.manual_seed(1)
    weights = AutoModelForCausalLM.from_config(config, dtype=torch.float32).state_dict()
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_block_count(2)
    writer.add_context_length(640)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_count(16)
    writer.add_vocab_size(VOCABULARY)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *SPECIALS, "ab"]
    tokens += [f"<unused{n}>" for n in range(VOCABULARY - len(tokens))]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * len(alphabet) + [3, 3, 3, 1] + [5] * (VOCABULARY - len(alphabet) - 4))
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(256)
    writer.add_chat_template(TEMPLATE)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 2)
    for name, weight in weights.items():
        target = names.get_name(name, try_suffixes=(".weight",))
        eight_bits = weight.ndim == 2
        kind = gguf.GGMLQuantizationType.Q8_0 if eight_bits else gguf.GGMLQuantizationType.F32
        writer.add_tensor(target, gguf.quants.quantize(weight.numpy(), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def make_fp8_model(folder: Path) -> Path:
    """A checkpoint with weights in 8-bit floats and a scale for each block of them, as some models are published."""
    make_model(folder)
    weights = load_file(folder / "model.safetensors")
    block = 16
    for name in [name for name in weights if "proj" in name]:
        weight = weights[name]
        weights[name] = weight.to(torch.float8_e4m3fn)
        weights[f"{name}_scale_inv"] = torch.ones(weight.shape[0] // block, weight.shape[1] // block)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "fp8", "weight_block_size": [block, block]}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def make_tokenizer(template: str | None = TEMPLATE) -> PreTrainedTokenizerFast:
    """A tokenizer whose tokens are single bytes, so that characters are cut wherever they can be."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=SPECIALS[0],
        pad_token=SPECIALS[0],
        additional_special_tokens=SPECIALS[1:],
    )
    tokenizer.chat_template = template
    return tokenizer
