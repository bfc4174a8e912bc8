"""Which decoder fits a model: the fastest that a trial at load shows to compute what the model itself does."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from transformers import PreTrainedModel

from workers.engine.engine import ModelError
from workers.engine.local.decoder import Decoder
from workers.engine.local.hub_attention import find_flash_attention
from workers.engine.local.paged_factory import make_paged
from workers.engine.local.serial import SerialDecoder
from workers.engine.local.slots import SlotDecoder

log = logging.getLogger(__name__)

# The long one is longer than a page of the paged decoder.
SHORT_PROMPT, LONG_PROMPT, CHUNK, STEPS = 11, 77, 20, 3
# Of the largest logit. Rounding in float32 is far below; bfloat16 keeps 8 bits and layers add up.
TOLERANCE = {torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 1e-1}
LOOSEST = max(TOLERANCE.values())
Make = Callable[[PreTrainedModel, int, int], Decoder]


def choose_decoder(model: PreTrainedModel, slots: int, max_tokens: int) -> Decoder:
    """The best decoder that fits; the serial one does whatever the model does."""
    sequences = _sequences(model, max_tokens)[:slots]
    expected = _run(SerialDecoder(model), sequences)
    for way, make in ways_to_decode(model):
        decoder = None
        try:
            decoder = make(model, slots, max_tokens)
            fault = _difference(_run(decoder, sequences), expected, TOLERANCE.get(model.dtype, LOOSEST))
        except ModelError:
            raise
        except Exception as error:  # a model's own code may fail in any way with a cache that is not its own
            fault = f"{type(error).__name__}: {error}"
        if not fault and decoder is not None:
            log.info("%s is decoded by %s, attention by %s", type(model).__name__, decoder.name, decoder.attention)
            return decoder
        if decoder is not None:
            decoder.restore()
        log.warning("%s does not fit %s: %s", type(model).__name__, way, fault)
    log.warning("answers are made one token after another for each question, slowly")
    return SerialDecoder(model)


def ways_to_decode(model: PreTrainedModel) -> list[tuple[str, Make]]:
    """What to try for a model, the best first: a paged cache on a GPU, and slots."""
    ways: list[tuple[str, Make]] = [("batched decoding", SlotDecoder)]
    if model.device.type == "cuda":
        ways.insert(0, ("a paged cache", make_paged))
        if flash := find_flash_attention():
            ways.insert(0, ("a paged cache with the hub's attention", partial(make_paged, flash=flash)))
    return ways


def _sequences(model: PreTrainedModel, max_tokens: int) -> list[list[int]]:
    """Two sequences of random tokens of different length, one longer than a sliding window if there is one."""
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None) or 0
    long = window + SHORT_PROMPT if 0 < window <= max_tokens - SHORT_PROMPT - STEPS else LONG_PROMPT
    random = torch.Generator().manual_seed(0)
    return [
        torch.randint(config.vocab_size, (length + STEPS,), generator=random).tolist()
        for length in (long, SHORT_PROMPT)
    ]


def _run(decoder: Decoder, sequences: list[list[int]]) -> Tensor:
    """Logits of all steps: the prompts read in chunks, then the same continuation decoded in one batch.

    The last step is the first sequence's alone: one row may be computed in a way of its own.
    """
    read = []
    for sequence in sequences:
        decoder.begin(sequence[:-STEPS], STEPS)
        logits: list[Tensor] = []
        while not logits:
            logits = decoder.prefill(max(CHUNK, len(sequence) // 2))[1]
        read += logits
    steps = [torch.stack(read)]
    for place in range(-STEPS, 0):
        while place == -1 and decoder.rows > 1:
            decoder.release(decoder.rows - 1)
        steps.append(decoder.decode([sequence[place] for sequence in sequences[: decoder.rows]]))
    decoder.release(0)
    return torch.cat(steps).float()


def _difference(got: Tensor, expected: Tensor, tolerance: float) -> str:
    """A sentence when two runs differ by more than rounding; else empty."""
    apart = ((got - expected).abs().max() / expected.abs().max()).item()
    # Written so that "not a number" differs.
    return "" if apart <= tolerance else f"its logits differ by {apart:.1e} of the largest"
