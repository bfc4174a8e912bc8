"""A model's own answers, and those of the decoders."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from tests.workers.engine.tiny_models import random_model
from workers.engine.local.decoder import Decoder

NEW_TOKENS = 24


def make(architecture: str) -> PreTrainedModel:
    """A tiny random model that ends no answer by itself."""
    model = random_model(architecture, seed=5)
    model.generation_config.eos_token_id = None
    return model


def prompts(*lengths: int, seed: int = 0) -> list[list[int]]:
    """Random prompts of these lengths in tokens."""
    random = torch.Generator().manual_seed(seed)
    return [torch.randint(250, (length,), generator=random).tolist() for length in lengths]


def generate(model: PreTrainedModel, prompt: list[int], count: int) -> list[int]:
    """The tokens that `generate` of transformers makes, without chance."""
    ids = torch.tensor([prompt])
    output = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=count,
        min_new_tokens=count,
        do_sample=False,
        pad_token_id=0,
    )
    tokens: list[int] = output[0, len(prompt) :].tolist()
    return tokens


def read(decoder: Decoder, prompt: list[int], chunk: int = 1000) -> int:
    """Begin and read a prompt, in pieces of so many tokens; the first token of its answer."""
    assert decoder.begin(prompt, NEW_TOKENS)
    return read_on(decoder, chunk)


def read_on(decoder: Decoder, chunk: int = 1000) -> int:
    """Read the prompts that were begun; the first token of the answer that is ready first."""
    logits: list[torch.Tensor] = []
    while not logits:
        count, logits = decoder.prefill(chunk)
        assert count >= 1
    return int(logits[0].argmax())


def decode(decoder: Decoder, answers: list[list[int]]) -> None:
    """One token more for each answer."""
    for answer, token in zip(answers, decoder.decode([one[-1] for one in answers]).argmax(-1).tolist(), strict=True):
        answer.append(token)


def answer(decoder: Decoder, firsts: list[int], count: int) -> list[list[int]]:
    """Answers of so many tokens that begin with these."""
    answers = [[first] for first in firsts]
    for _ in range(count - 1):
        decode(decoder, answers)
    return answers
