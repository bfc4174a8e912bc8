"""8-bit layers: near the float32 ones, smaller, and indifferent to neighbours."""

from pathlib import Path

import pytest
import torch
from torch import nn

from tests.workers.engine.conftest import engine_settings
from tests.workers.engine.tiny_models import make_model, random_model
from workers.engine.engine import ModelError
from workers.engine.engines.transformers import TransformersEngine
from workers.engine.local import int8
from workers.engine.local.int8 import Int8Linear, RoundedInput, to_int8


def layer(bias: bool = True) -> tuple[nn.Linear, Int8Linear]:
    torch.manual_seed(0)
    linear = nn.Linear(64, 96, bias=bias)
    return linear, Int8Linear(linear, RoundedInput())


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(64,), (1, 64), (3, 5, 64)])
def test_near_the_float_layer(bias: bool, shape: tuple[int, ...]) -> None:
    """An 8-bit layer's output has the float32 layer's shape and is within 2 % of its size."""
    linear, rounded = layer(bias)
    inputs = torch.randn(shape)
    wanted = linear(inputs)
    got = rounded(inputs)
    assert got.shape == wanted.shape
    assert (got - wanted).norm() < 0.02 * wanted.norm()


def test_a_token_does_not_depend_on_its_neighbours() -> None:
    """A token's output is the same to the last bit alone and beside tokens a million times as large."""
    _, rounded = layer()
    token = torch.randn(1, 64)
    beside = torch.cat([token, torch.randn(7, 64) * 1e6])
    assert torch.equal(rounded(token)[0], rounded(beside)[0])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_stays_none(value: float) -> None:
    """An input out of range gives an output out of range, in its own row alone; zeros give the bias."""
    linear, rounded = layer()
    inputs = torch.zeros(2, 64)
    inputs[0, 3] = value
    output = rounded(inputs)
    assert not torch.isfinite(output[0]).any()
    assert torch.equal(output[1], linear.bias)


def test_layers_of_one_input_round_it_once() -> None:
    """Two layers share the rounding of one tensor, and never that of another one."""
    shared = RoundedInput()
    linear, _ = layer()
    first, second = Int8Linear(linear, shared), Int8Linear(linear, shared)
    one, other = torch.randn(4, 64), torch.randn(4, 64)
    assert torch.equal(first(one), second(one))
    assert torch.equal(first(other), Int8Linear(linear, RoundedInput())(other))
    assert shared.of(other)[0] is shared.of(other)[0]


@pytest.mark.parametrize("architecture", ["llama", "llama-tied-one-key-head", "gemma3-window", "gpt2", "qwen2-moe"])
def test_a_model_in_8_bits(architecture: str) -> None:
    """A whole model in 8 bits has logits near its own, whether or not its embeddings are its output layer."""
    model = random_model(architecture)
    ids = torch.randint(250, (1, 40), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        wanted = model(input_ids=ids).logits
        to_int8(model)
        got = model(input_ids=ids).logits
    similarity = torch.cosine_similarity(got.flatten(), wanted.flatten(), dim=0)
    assert similarity > 0.98
    if architecture == "llama-tied-one-key-head":
        assert not [parameter for parameter in model.parameters() if parameter.dim() == 2]


def load(tmp_path: Path, **changes: object) -> TransformersEngine:
    settings = engine_settings(kind="transformers", model=str(make_model(tmp_path / "model")), **changes)
    engine = TransformersEngine(settings, tmp_path, 2)
    engine.load(lambda what, share: None)
    return engine


@pytest.mark.parametrize(("speed_up", "chosen"), [(2.0, "int8"), (1.1, "float32"), (0.5, "float32")])
def test_auto_takes_what_is_quicker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, speed_up: float, chosen: str
) -> None:
    """On a CPU, "auto" is int8 where it was measured to be clearly quicker, and the log says so."""
    monkeypatch.setattr(int8, "speed_up", lambda model: speed_up)
    with caplog.at_level("INFO"):
        assert load(tmp_path, dtype="auto").about["dtype"] == chosen
    assert f"dtype {chosen}: int8 is {speed_up} times as fast as float32 here" in caplog.text


def test_the_measurement_is_one(tmp_path: Path) -> None:
    """The speed-up is measured and positive."""
    assert int8.speed_up(random_model("llama")) > 0
    assert int8.speed_up(random_model("gpt2")) == 0  # it has no plain linear layers


def test_where_torch_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without 8-bit multiplication "auto" is float32, and "int8" is refused with what to set."""
    monkeypatch.delattr(torch, "_int_mm")
    assert load(tmp_path, dtype="auto").about["dtype"] == "float32"
    with pytest.raises(ModelError, match="set it to auto"):
        load(tmp_path, dtype="int8")


def test_int8_as_set(tmp_path: Path) -> None:
    """The setting "int8" is kept without measuring."""
    assert load(tmp_path, dtype="int8").about["dtype"] == "int8"
