"""Models are found where the setting says, and a sentence says what is missing where they are not."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from config.environment import CHECKOUT
from tests.workers.engine.conftest import engine_settings, request
from tests.workers.engine.tiny_models import make_fp8_model, make_gguf, make_model
from workers.engine.engine import ModelError
from workers.engine.engines.transformers import TransformersEngine
from workers.engine.local.weights import find_weights, weights_here


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_model(tmp_path / "model")


def load(model: str | Path, tmp_path: Path, **changes: object) -> TransformersEngine:
    engine = TransformersEngine(engine_settings(kind="transformers", model=str(model), **changes), tmp_path, 2)
    engine.load(lambda what, share: None)
    return engine


def test_a_whole_folder_is_found(folder: Path, tmp_path: Path) -> None:
    """A model's folder is used where it stands."""
    assert find_weights(str(folder), tmp_path, lambda what, share: None) == folder
    assert weights_here(str(folder), tmp_path) == folder


def test_what_the_first_start_makes_or_fetches(tmp_path: Path) -> None:
    """A model that is looked for and not made: the built-in one, a GGUF file and one of a hub are not there yet."""
    file = tmp_path / "tiny.gguf"
    file.touch()
    assert [weights_here(model, tmp_path) for model in ("smollm2-135m", str(file), "owner/name")] == [None] * 3
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_folder_that_lacks_a_file(folder: Path, tmp_path: Path, missing: str) -> None:
    """A folder without one of its files is refused, and the sentence names the file."""
    (folder / missing).unlink()
    with pytest.raises(ModelError, match=f"lacks {re.escape(missing)}"):
        load(folder, tmp_path)


def test_a_folder_that_lacks_a_shard(folder: Path, tmp_path: Path) -> None:
    """A folder whose list of weights names a file that is not there is refused, and the sentence names the file."""
    weight_map = {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(ModelError, match=r"lacks model-00002-of-00002\.safetensors"):
        load(folder, tmp_path)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"weight_map": 3}'])
def test_a_broken_list_of_weights(folder: Path, tmp_path: Path, content: str) -> None:
    """A list of weights that is none is refused with what to do."""
    (folder / "model.safetensors.index.json").write_text(content)
    with pytest.raises(ModelError, match="is no list of weights: fetch the model again"):
        load(folder, tmp_path)


@pytest.mark.parametrize("size", [0, 5, 100, 5000])
def test_weights_that_were_cut_off(folder: Path, tmp_path: Path, size: int) -> None:
    """A file of weights that is shorter than it says is refused before anything is loaded."""
    os.truncate(folder / "model.safetensors", size)
    with pytest.raises(ModelError, match=r"model\.safetensors is no whole safetensors file"):
        load(folder, tmp_path)


@pytest.mark.parametrize(
    ("file", "content"),
    [("config.json", "{"), ("config.json", '{"model_type": "unheard-of"}'), ("tokenizer.json", "{}")],
)
def test_broken_files(folder: Path, tmp_path: Path, file: str, content: str) -> None:
    """A file that cannot be read is a fault of the model, told in one line."""
    (folder / file).write_text(content)
    with pytest.raises(ModelError) as caught:
        load(folder, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["/nowhere/at/all", "./nowhere", "~/nowhere/at/all"])
def test_a_folder_that_is_not_there(tmp_path: Path, name: str) -> None:
    """A path that leads nowhere is called a folder that does not exist, and no hub is asked."""
    with pytest.raises(ModelError, match="which does not exist"):
        find_weights(name, tmp_path, lambda what, share: None)
    with pytest.raises(ModelError, match="which does not exist"):
        weights_here(name, tmp_path)


@pytest.mark.parametrize("name", ["smollm3", "a/b/c", "two words/x", "https://hub/owner/name", "a--b/c"])
def test_a_name_that_is_none(tmp_path: Path, name: str) -> None:
    """A name that is neither the built-in model, nor a folder, nor a hub id is refused without asking a hub."""
    with pytest.raises(ModelError, match="neither smollm2-135m, nor a folder, nor a model id"):
        find_weights(name, tmp_path, lambda what, share: None)
    with pytest.raises(ModelError, match="neither smollm2-135m, nor a folder, nor a model id"):
        weights_here(name, tmp_path)


def test_a_hub_that_cannot_be_reached(tmp_path: Path) -> None:
    """A hub id that is not on this machine, without a network, gives a sentence with both cures."""
    script = (
        "from pathlib import Path; from workers.engine.engine import ModelError\n"
        "from workers.engine.local.weights import find_weights\n"
        "try: find_weights('owner/name', Path('.'), lambda what, share: None)\n"
        "except ModelError as error: print(error)"
    )
    # The hub's address is read when its library is imported; port 9 of the loopback is closed.
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.stdout == (
        "the model owner/name is not on this machine and the hub cannot be reached: "
        "check the network, or copy the model here and set engine.model to its folder\n"
    ), ended.stderr


def test_a_model_without_chat_template(tmp_path: Path) -> None:
    """A model that only completes text is refused."""
    with pytest.raises(ModelError, match="no chat template"):
        load(make_model(tmp_path / "model", template=None), tmp_path)


def test_a_model_that_does_not_fit(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that needs more memory than is free is refused before loading, with the arithmetic."""
    monkeypatch.setattr("workers.engine.local.memory._free_bytes", lambda device: 300_000_000)
    with pytest.raises(ModelError) as caught:
        load(folder, tmp_path)
    sentence = str(caught.value)
    assert "million parameters × 4 bytes" in sentence
    assert "a cache of 1,800 tokens" in sentence  # (400 + 200) for two answers and the prompt that is read
    assert "0.3 GB are free in memory" in sentence


def test_a_prompt_limit_that_the_model_cannot_hold(folder: Path, tmp_path: Path) -> None:
    """The prompt limit is lowered to what the model's positions leave beside an answer."""
    engine = load(folder, tmp_path, max_prompt_tokens=100_000, max_new_tokens=40)
    assert engine.max_prompt_tokens == 600
    with pytest.raises(ModelError, match="takes 640 tokens in all"):
        load(folder, tmp_path, max_new_tokens=640)


def test_cuda_where_there_is_none(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking for a GPU where torch finds none is refused with both cures."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ModelError, match="finds no GPU here: set it to auto or cpu"):
        load(folder, tmp_path, device="cuda")


def text_of(engine: TransformersEngine) -> str:
    engine.add(request("the red fox", max_new_tokens=8))
    pieces = []
    while engine.busy:
        events = engine.step()
        assert all(event.finish in (None, "stop", "length") for event in events)
        pieces += [event.text for event in events]
    return "".join(pieces)


def test_a_gguf_file(tmp_path: Path) -> None:
    """A GGUF file by its path is unpacked once and answers; one that changed is unpacked anew."""
    file = make_gguf(tmp_path / "tiny.gguf")
    first = load(file, tmp_path)
    (folder,) = (path for path in (tmp_path / "gguf").iterdir() if path.is_dir())
    written_ns = (folder / "model.safetensors").stat().st_mtime_ns
    assert text_of(first) == text_of(load(file, tmp_path))
    assert (folder / "model.safetensors").stat().st_mtime_ns == written_ns
    os.utime(file)
    load(file, tmp_path)
    assert (folder / "model.safetensors").stat().st_mtime_ns > written_ns


@pytest.mark.parametrize("content", [b"", b"GGUF", b"no model at all, but long enough to have a header" * 9])
def test_what_is_no_gguf_file(tmp_path: Path, content: bytes) -> None:
    """A broken GGUF file is refused in a sentence and leaves nothing behind; one that is not there, too."""
    file = tmp_path / "broken.gguf"
    file.write_bytes(content)
    with pytest.raises(ModelError, match="is no whole GGUF file"):
        load(file, tmp_path)
    assert [path.suffix for path in (tmp_path / "gguf").iterdir()] == [".lock"]
    with pytest.raises(ModelError, match="which does not exist"):
        load(tmp_path / "nowhere.gguf", tmp_path)


def test_a_gguf_file_that_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GGUF file too large for this machine is refused before it is unpacked, with the arithmetic."""
    file = make_gguf(tmp_path / "tiny.gguf")
    monkeypatch.setattr("workers.engine.local.memory._free_bytes", lambda device: 300_000_000)
    with pytest.raises(ModelError, match="million parameters × 2 bytes"):
        load(file, tmp_path)


def test_a_quantised_checkpoint(tmp_path: Path) -> None:
    """A checkpoint in 8-bit floats loads and answers."""
    engine = load(make_fp8_model(tmp_path / "model"), tmp_path, dtype="float32")
    assert text_of(engine)
    assert engine.about["dtype"] == "float32"
