"""The decoders compute what the model itself computes, for every architecture that is tried here."""

import logging

import pytest
import torch

from tests.workers.engine.local.decoding import NEW_TOKENS, answer, decode, generate, make, prompts, read
from tests.workers.engine.tiny_models import ARCHITECTURES
from workers.engine.local.check import choose_decoder
from workers.engine.local.serial import SerialDecoder
from workers.engine.local.slots import SlotDecoder

LENGTHS = [1, 2, 17, 24, 25, 60, 110]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_tokens_equal_generate(architecture: str, caplog: pytest.LogCaptureFixture) -> None:
    """Greedy tokens of a batch of prompts of all lengths equal those of `generate`, whichever decoder was chosen."""
    model = make(architecture)
    wanted = [generate(model, prompt, NEW_TOKENS) for prompt in prompts(*LENGTHS)]
    with caplog.at_level(logging.WARNING):
        decoder = choose_decoder(model, len(LENGTHS), 200)
    assert decoder.name == ARCHITECTURES[architecture][1]
    assert ("does not fit batched decoding" in caplog.text) == (decoder.name == "serial")
    firsts = [read(decoder, prompt) for prompt in prompts(*LENGTHS)]
    assert answer(decoder, firsts, NEW_TOKENS) == wanted


@pytest.mark.parametrize("chunk", [1, 7, 24, 59])
@pytest.mark.parametrize("architecture", ["llama", "gemma3-window"])
def test_reading_in_chunks_changes_nothing(architecture: str, chunk: int) -> None:
    """A prompt that is read in pieces gives the same tokens as one that is read at once."""
    model = make(architecture)
    (prompt,) = prompts(60)
    wanted = generate(model, prompt, NEW_TOKENS)
    decoder = SlotDecoder(model, 2, 200)
    assert answer(decoder, [read(decoder, prompt, chunk)], NEW_TOKENS) == [wanted]


@pytest.mark.parametrize("architecture", ["llama", "gemma3-window", "gemma2-softcap"])
def test_rows_that_come_and_go(architecture: str) -> None:
    """Rows that join and leave at any time leave the others' tokens as they are."""
    model = make(architecture)
    asked = prompts(30, 5, 61, 44, 12, 90, 3, 33, seed=1)
    wanted = [generate(model, prompt, NEW_TOKENS) for prompt in asked]
    decoder = choose_decoder(model, 3, 200)
    waiting = list(range(len(asked)))
    running: list[int] = []
    answers: dict[int, list[int]] = {}
    random = torch.Generator().manual_seed(2)
    while waiting or running:
        if waiting and len(running) < 3:
            number = waiting.pop(0)
            answers[number] = [read(decoder, asked[number], chunk=16)]
            running.append(number)
        if int(torch.randint(3, (1,), generator=random)) or not waiting:
            decode(decoder, [answers[number] for number in running])
        for row in reversed(range(len(running))):
            # Every third leaves in the middle, as if cancelled.
            if len(answers[running[row]]) >= (NEW_TOKENS if running[row] % 3 else NEW_TOKENS // 2):
                decoder.release(row)
                running[row] = running[-1]
                running.pop()
    assert decoder.rows == 0
    for number, made in answers.items():
        assert made == wanted[number][: len(made)]


def test_a_common_beginning_is_read_once() -> None:
    """A prompt that begins like the last one reads on from there, and gives the same tokens."""
    model = make("llama")
    shared, first, second = prompts(40, 20, 25)
    wanted = generate(model, shared + second, NEW_TOKENS)
    decoder = SlotDecoder(model, 4, 200)
    read(decoder, shared + first)
    decoder.begin(shared + second, NEW_TOKENS)
    count, logits = decoder.prefill(1000)
    assert count == 25
    answers = [[0], [int(logits[0].argmax())]]
    for _ in range(NEW_TOKENS - 1):
        decode(decoder, answers)
    assert answers[1] == wanted


def test_a_prompt_given_up_while_read() -> None:
    """A prompt that was given up in the middle leaves nothing behind for the next one but what they share."""
    model = make("llama")
    shared, first, second = prompts(10, 50, 30)
    wanted = generate(model, shared + second, NEW_TOKENS)
    decoder = SlotDecoder(model, 2, 200)
    decoder.begin(shared + first, NEW_TOKENS)
    assert decoder.prefill(20) == (20, [])
    decoder.give_up(0)
    assert answer(decoder, [read(decoder, shared + second)], NEW_TOKENS) == [wanted]


def test_a_released_slot_is_cleared() -> None:
    """Nothing of an answer stays in its slot, not even an infinity, which a mask would not keep out of a sum."""
    model = make("llama")
    (prompt,) = prompts(30)
    wanted = generate(model, prompt, NEW_TOKENS)
    decoder = SlotDecoder(model, 2, 200)
    read(decoder, prompts(90, seed=9)[0])
    with torch.inference_mode():
        for keys, values in decoder._cache._rows.values():
            keys[0, :, :90] = float("nan")
            values[0, :, :90] = float("inf")
    decoder.release(0)
    assert answer(decoder, [read(decoder, prompt)], NEW_TOKENS) == [wanted]


def test_memory_grows_with_what_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slots have room for what came so far; longer sequences make them longer, and change no tokens.

    Each time the heap is told to give back what they replace, and at no other.
    """
    trimmed: list[int] = []
    monkeypatch.setattr("workers.engine.local.slots.trim_heap", lambda: trimmed.append(room()))
    model = make("llama")
    asked = prompts(240, 30, 500)
    wanted = [generate(model, prompt, NEW_TOKENS) for prompt in asked]
    decoder = SlotDecoder(model, 3, 600)

    def room() -> int:
        return decoder._cache._rows[0][0].shape[2]

    answers = [[read(decoder, prompt)] for prompt in asked[:2]]
    rooms = [room()]
    for _ in range(NEW_TOKENS - 1):
        decode(decoder, answers)
    rooms.append(room())
    answers.append([read(decoder, asked[2])])
    decoder.release(1)
    answers[1] = answers.pop()
    rooms.append(room())
    finished = list(answers[0])
    for _ in range(NEW_TOKENS - 1):
        decode(decoder, answers)
    assert [finished, answers[1]] == [wanted[0], wanted[2]]
    assert rooms == [256, 384, 512]
    assert trimmed == [384, 512, 600]


def test_a_wrong_decoder_is_found_out(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Where the slots compute something else than the model, the trial at load notices, and the model keeps its way."""
    model = make("llama")
    own = model.config._attn_implementation
    monkeypatch.setattr(SlotDecoder, "_mask", lambda self, count, end, window, device: None)
    decoder = choose_decoder(model, 4, 200)
    assert isinstance(decoder, SerialDecoder)
    assert "its logits differ by" in caplog.text
    assert model.config._attn_implementation == own
    monkeypatch.undo()
    (prompt,) = prompts(30)
    assert read(decoder, prompt) == generate(model, prompt, 1)[0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_fits_too(dtype: torch.dtype) -> None:
    """The trial at load allows half precision its rounding."""
    assert choose_decoder(make("llama").to(dtype), 4, 200).name == "slots"
