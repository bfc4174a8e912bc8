"""What the transformers engine does beyond what every engine promises."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.workers.engine.conftest import engine_settings, request
from tests.workers.engine.stepping import drain, run, text
from tests.workers.engine.tiny_models import make_model
from workers.engine.engine import ModelError
from workers.engine.engines.transformers import TransformersEngine
from workers.engine.local.decoder import Decoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def make_engine(folder: Path, tmp_path: Path) -> Callable[..., TransformersEngine]:
    def make(slots: int = 4, **changes: object) -> TransformersEngine:
        settings = engine_settings(kind="transformers", model=str(folder), **changes)
        engine = TransformersEngine(settings, tmp_path, slots)
        engine.load(lambda what, share: None)
        return engine

    return make


class FaultyDecoder(Decoder):
    """A decoder that fails on prompts of 100 tokens and more, in a way that is told to it."""

    def __init__(self, inner: Decoder, fault: Exception | float) -> None:
        self.name = self.attention = "faulty"
        self._inner = inner
        self._fault = fault
        self._long_rows: list[bool] = []
        self._long = False  # whether the prompt that is being read is

    def begin(self, prompt: list[int], max_new_tokens: int) -> bool:
        """Begin, and note whether the prompt is a long one."""
        begun = self._inner.begin(prompt, max_new_tokens)
        if begun:
            self._long = len(prompt) >= 100
        return begun

    def give_up(self, number: int) -> None:
        """Forget a prompt."""
        self._inner.give_up(number)

    def prefill(self, max_tokens: int) -> tuple[int, list[Tensor]]:
        """Read on, or fail as told."""
        if self._long and isinstance(self._fault, Exception):
            raise self._fault
        count, logits = self._inner.prefill(max_tokens)
        self._long_rows += [self._long] * len(logits)
        return count, logits

    def decode(self, tokens: list[int]) -> Tensor:
        """Decode, with the rows of long prompts spoilt."""
        logits = self._inner.decode(tokens).clone()
        for row, long in enumerate(self._long_rows):
            if long:
                assert isinstance(self._fault, float)
                logits[row, 3] = self._fault
        return logits

    def release(self, row: int) -> None:
        """Drop a row."""
        self._inner.release(row)
        self._long_rows[row] = self._long_rows[-1]
        self._long_rows.pop()


def spoil(engine: TransformersEngine, fault: Exception | float) -> None:
    assert engine._model is not None
    object.__setattr__(engine._model, "decoder", FaultyDecoder(engine._model.decoder, fault))


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (MemoryError(), "not enough memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "not enough memory"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            "not enough memory",
        ),
        (ValueError("shapes"), "failed on this prompt (ValueError)"),
        (float("nan"), "out of range"),
        (float("inf"), "out of range"),
    ],
)
def test_a_failure_in_the_middle(
    make_engine: Callable[..., TransformersEngine], fault: Exception | float, said: str
) -> None:
    """A prompt on which the model fails ends with a sentence; answers before, beside and after it are as without it."""
    texts = ["alpha", "beta beta", "gamma"]
    engine = make_engine()
    alone = {one: text(run(engine, request(one, id=one, max_new_tokens=15))[one]) for one in texts}
    spoil(engine, fault)
    first, second, third = (request(one, id=one, max_new_tokens=15) for one in texts)
    events = run(engine, first, request("x" * 120, id="bad", max_new_tokens=15), second)
    assert events["bad"][-1].finish == "error"
    assert said in events["bad"][-1].error
    events |= run(engine, third)
    assert {one: text(events[one]) for one in texts} == alone


def test_a_broken_device_ends_the_process(make_engine: Callable[..., TransformersEngine]) -> None:
    """An error that leaves the device in an unknown state is no request's own: the step raises it."""
    engine = make_engine()
    spoil(engine, torch.AcceleratorError("an illegal memory access was encountered"))
    engine.add(request("x" * 120))
    with pytest.raises(torch.AcceleratorError):
        engine.step()


def test_a_long_prompt_does_not_hold_up_others(make_engine: Callable[..., TransformersEngine]) -> None:
    """While a prompt longer than a step's share is read, answers that grow go on growing."""
    engine = make_engine(max_prompt_tokens=620, max_new_tokens=20)
    engine.add(request("short", id="grows"))
    engine.step()
    engine.add(request("y" * 590, id="long"))
    engine.step()
    (reading,) = engine._reading
    assert reading.request.id == "long"
    assert len(reading.prompt) > engine._loaded.decoder.prefill_tokens
    events = drain(engine, {})
    assert events["grows"][-1].finish in ("length", "stop")
    assert events["long"][-1].finish in ("length", "stop")


def test_cancels_a_prompt_that_is_being_read(make_engine: Callable[..., TransformersEngine]) -> None:
    """A long prompt can be given up between two of its pieces, and the next one is answered."""
    engine = make_engine(max_prompt_tokens=620, max_new_tokens=20)
    alone = text(run(engine, request("next"))["q"])
    engine.add(request("y" * 590, id="long"))
    engine.step()
    engine.cancel("long")
    engine.add(request("next"))
    events = drain(engine, {})
    assert [event.finish for event in events["long"]] == ["cancelled"]
    assert text(events["q"]) == alone


def test_a_seed_repeats_in_any_company(make_engine: Callable[..., TransformersEngine]) -> None:
    """A sampled answer depends on its seed, and not on who else is being answered."""
    engine = make_engine()
    alone = text(run(engine, request("tell me", temperature=1.0, seed=7, max_new_tokens=30))["q"])
    others = [request(f"other {n}", id=str(n), temperature=1.0, seed=n, max_new_tokens=30) for n in range(3)]
    together = run(engine, *others, request("tell me", temperature=1.0, seed=7, max_new_tokens=30))
    assert text(together["q"]) == alone
    assert text(run(engine, request("tell me", temperature=1.0, seed=8, max_new_tokens=30))["q"]) != alone
    assert text(run(engine, request("tell me", seed=8, max_new_tokens=30))["q"]) != alone


def test_a_stop_token_ends_the_answer(make_engine: Callable[..., TransformersEngine]) -> None:
    """An answer ends before the first token that ends a turn, and says that it stopped."""
    engine = make_engine()
    assert engine._model is not None
    whole = run(engine, request("tell me", max_new_tokens=30))["q"]
    pieces = [event.text for event in whole if event.text]
    ascii_pieces = [piece for piece in pieces if piece.isascii()]
    stop = ord(ascii_pieces[-1][0])
    tokenizer = engine._model.tokenizer
    (token,) = tokenizer.encode(chr(stop), add_special_tokens=False).ids
    object.__setattr__(engine._model.chat, "stop_tokens", frozenset({token}))
    events = run(engine, request("tell me", max_new_tokens=30))["q"]
    assert events[-1].finish == "stop"
    assert text(events) == text(whole).partition(chr(stop))[0]


def test_a_model_that_does_not_answer_is_refused(folder: Path, tmp_path: Path) -> None:
    """A model whose numbers go out of range on the warm-up prompt does not become ready."""
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    weights = load_file(broken / "model.safetensors")
    weights["lm_head.weight"][5] = float("nan")
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    engine = TransformersEngine(engine_settings(kind="transformers", model=str(broken)), tmp_path, 2)
    with pytest.raises(ModelError, match="does not answer: the model's numbers went out of range"):
        engine.load(lambda what, share: None)
