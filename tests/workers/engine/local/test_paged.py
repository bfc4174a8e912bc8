"""The paged decoder's way, on a CPU with kernels in plain torch; the GPU's kernels have tests of their own."""

from __future__ import annotations

import pytest
import torch

from tests.workers.engine.local import plain_kernels
from tests.workers.engine.local.decoding import NEW_TOKENS, answer, generate, make, prompts, read, read_on
from tests.workers.engine.tiny_models import ARCHITECTURES
from workers.engine.local.dense import CLASSES, DenseModel
from workers.engine.local.paged import PagedDecoder
from workers.engine.local.slots import UnfitModelError

FITTING = ("llama", "llama-tied-one-key-head", "qwen2", "qwen3")


def paged(architecture: str, slots: int = 8, pages: int = 200) -> PagedDecoder:
    return PagedDecoder(make(architecture), slots, 200, pages, plain_kernels)


@pytest.mark.parametrize("architecture", FITTING)
@pytest.mark.parametrize("chunk", [1000, 7])
def test_tokens_equal_generate(architecture: str, chunk: int) -> None:
    """Greedy tokens of a batch of prompts around a page's borders equal those of `generate`, read in pieces or not."""
    decoder = paged(architecture)
    lengths = (1, 7, 8, 9, 30, 64)
    wanted = [generate(make(architecture), prompt, NEW_TOKENS) for prompt in prompts(*lengths)]
    firsts = [read(decoder, prompt, chunk) for prompt in prompts(*lengths)]
    assert answer(decoder, firsts, NEW_TOKENS) == wanted


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name not in FITTING])
def test_a_model_of_another_shape_is_refused(architecture: str) -> None:
    """A model that is not computed here says so, and is left as it was."""
    with pytest.raises(UnfitModelError):
        DenseModel(make(architecture), 200, plain_kernels)


def test_a_shared_beginning_is_read_once_and_changes_no_answer() -> None:
    """A prompt that begins as another does is read from there on, and is answered as if it were alone."""
    beginning, first, second = prompts(40, 9, 12)
    wanted = generate(make("llama"), beginning + second, NEW_TOKENS)
    decoder = paged("llama")
    read(decoder, beginning + first)
    assert decoder.begin(beginning + second, NEW_TOKENS)
    count, logits = decoder.prefill(1000)
    assert count == 12
    decoder.release(0)
    assert answer(decoder, [int(logits[0].argmax())], NEW_TOKENS) == [wanted]


def test_prompts_that_are_read_at_once_are_answered_as_if_alone() -> None:
    """Prompts in one forward, some from their middle on and one in two pieces, do not see each other."""
    beginning, first, *others = prompts(24, 5, 3, 40, 31)
    all_prompts = [beginning + first, beginning + others[0], others[1], others[2]]
    wanted = [generate(make("qwen3"), prompt, NEW_TOKENS) for prompt in all_prompts]
    decoder = paged("qwen3")
    firsts = [read(decoder, all_prompts[0])]
    for prompt in all_prompts[1:]:
        assert decoder.begin(prompt, NEW_TOKENS)
    while decoder.unread:
        firsts += [int(logits.argmax()) for logits in decoder.prefill(50)[1]]
    assert answer(decoder, firsts, NEW_TOKENS) == wanted


def test_a_row_that_ends_leaves_the_others_alone() -> None:
    """Rows that are dropped at random and new ones in their pages change no other answer."""
    chance = torch.Generator().manual_seed(3)
    all_prompts = prompts(*(5 + 3 * n for n in range(12)), seed=9)
    model = make("qwen2")
    wanted = {n: generate(make("qwen2"), prompt, NEW_TOKENS) for n, prompt in enumerate(all_prompts)}
    decoder = PagedDecoder(model, 4, 200, 60, plain_kernels)
    waiting, rows, done = list(range(12)), list[tuple[int, list[int]]](), dict[int, list[int]]()
    while waiting or rows:
        if waiting and len(rows) < 4 and decoder.begin(all_prompts[waiting[0]], NEW_TOKENS):
            number = waiting.pop(0)
            rows.append((number, [read_on(decoder)]))
            continue
        tokens = decoder.decode([tokens[-1] for _, tokens in rows]).argmax(-1).tolist()
        for (_, so_far), token in zip(rows, tokens, strict=True):
            so_far.append(token)
        for row in reversed(range(len(rows))):
            given_up = torch.rand(1, generator=chance).item() < 0.02
            if len(rows[row][1]) == NEW_TOKENS or given_up:
                done[rows[row][0]] = rows[row][1]
                rows[row] = rows[-1]
                rows.pop()
                decoder.release(row)
    assert sorted(done) == list(range(12))
    for number, tokens in done.items():
        assert tokens == wanted[number][: len(tokens)]


def test_a_prompt_without_room_waits_and_a_prompt_given_up_leaves_its_room() -> None:
    """Admission is by free pages: refused while another sequence holds them, whole again when that one is given up."""
    decoder = paged("llama", pages=10)
    (long, other) = prompts(50, 50)
    assert decoder.begin(long, 20)
    decoder.prefill(10)
    assert not decoder.begin(other, 20)
    decoder.give_up(0)
    assert decoder.begin(other, 20)
    read_on(decoder)
    assert not decoder.begin(long, 20)
    decoder.release(0)
    assert decoder.begin(long, 20)


def test_the_list_of_classes_is_of_known_models() -> None:
    """Each class that is said to fit is tried here."""
    tried = {type(make(name)).__name__ for name in FITTING}
    assert tried | {"MistralForCausalLM"} == CLASSES
