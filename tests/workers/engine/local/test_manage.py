"""Models are brought into the home folder whole, and what does not fit is refused before it is loaded."""

import json
from pathlib import Path

import pytest

from config.loading import load_settings
from config.settings import Settings
from tests.workers.engine.local.makers import quiet
from tests.workers.engine.tiny_models import make_gguf, make_model
from workers.engine.engine import ModelError
from workers.engine.local import manage
from workers.engine.local.weights import find_weights


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of an empty home folder."""
    monkeypatch.setenv("FENNEL_HOME", str(tmp_path / "home"))
    settings = load_settings()
    settings.make_folders()
    return settings


def test_pulls_a_folder(tmp_path: Path, settings: Settings) -> None:
    """A folder is copied with its checksums, and is found by its name from then on, even where the first is gone."""
    source = make_model(tmp_path / "tiny")
    done = manage.pull(str(source), settings, quiet)
    source.rename(tmp_path / "gone")
    assert done["name"] == "tiny"
    folder = find_weights("tiny", settings.models_folder, quiet)
    assert folder == settings.models_folder / "tiny"
    assert (folder / "model.safetensors").read_bytes() == (tmp_path / "gone" / "model.safetensors").read_bytes()
    with pytest.raises(ModelError, match="is in the home folder already"):
        manage.pull(str(folder), settings, quiet)


def test_pulls_a_gguf_file(tmp_path: Path, settings: Settings) -> None:
    """A GGUF file is unpacked into the home folder under its name."""
    file = make_gguf(tmp_path / "small.gguf")
    assert manage.pull(str(file), settings, quiet)["name"] == "small"
    file.unlink()
    assert find_weights("small", settings.models_folder, quiet) == settings.models_folder / "small"


def test_a_copy_that_changed(tmp_path: Path, settings: Settings) -> None:
    """A check finds a file that is not the one that was pulled."""
    manage.pull(str(make_model(tmp_path / "tiny")), settings, quiet)
    weights = settings.models_folder / "tiny" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(ModelError, match=r"model\.safetensors is not what was pulled: pull the model again"):
        manage.check("tiny", settings, quiet)


def test_a_disk_that_is_full(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that the disk has no room for is not begun."""
    source = make_model(tmp_path / "tiny")
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    with pytest.raises(ModelError, match=r"where 0 MB are free"):
        manage.pull(str(source), settings, quiet)
    assert not (settings.models_folder / "tiny").exists()


def test_a_model_that_does_not_fit(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit is refused with the arithmetic, and is not loaded."""
    source = make_model(tmp_path / "tiny")
    monkeypatch.setattr("workers.engine.local.memory._free_bytes", lambda device: 300_000_000)
    monkeypatch.setattr("workers.engine.local.loading.AutoModelForCausalLM", None)
    with pytest.raises(ModelError, match=r"a cache of .* tokens .* 0\.3 GB are free in memory"):
        manage.check(str(source), settings, quiet)


def test_a_model_without_a_template(tmp_path: Path, settings: Settings) -> None:
    """Of a model without a chat template a check says so, and tries no language."""
    found = manage.check(str(make_model(tmp_path / "tiny", template=None)), settings, quiet)
    assert (found["chat_template"], found["languages"]) == (False, {})
    json.dumps(found)
