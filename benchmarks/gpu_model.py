"""A model of 7.6 thousand million random weights, with its tokenizer, for a GPU."""

from __future__ import annotations

import random
from typing import Any

SHAPE = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152_064,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
}
LETTERS = "abcdefghijklmnopqrstuvwxyz "


def make_model(shape: dict[str, Any]) -> Any:
    """A model of Qwen2.5-7B's shape with random weights, made on the GPU."""
    import torch
    from transformers import AutoModelForCausalLM, Qwen2Config

    torch.manual_seed(0)
    with torch.device("cuda"):
        return AutoModelForCausalLM.from_config(Qwen2Config(**shape), dtype=torch.bfloat16).eval()


def make_tokenizer(vocabulary: int) -> Any:
    """A tokenizer with a text for each token: prompts are single letters, answers whatever comes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from tests.workers.engine.tiny_models import SPECIALS, TEMPLATE

    chance = random.Random(0)
    texts = dict.fromkeys(sorted(pre_tokenizers.ByteLevel.alphabet()))
    while len(texts) < vocabulary - len(SPECIALS):
        texts["Ġ" + "".join(chance.choices(LETTERS[:-1], k=chance.randint(2, 6)))] = None
    backend = Tokenizer(models.BPE(vocab={text: number for number, text in enumerate(texts)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token=SPECIALS[0], additional_special_tokens=SPECIALS[1:]
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer
