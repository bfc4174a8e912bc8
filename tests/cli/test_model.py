"""`fennel model` in processes of its own, with a hub on loopback."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.program import FENNEL
from tests.fakes.hub import hub
from tests.workers.engine.tiny_models import make_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model."""
    return make_model(tmp_path_factory.mktemp("hub") / "tiny")


def fennel(home: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "FENNEL_HOME": str(home), "FENNEL_ENGINE__MAX_PROMPT_TOKENS": "400", **more}
    return subprocess.run([*FENNEL, "model", *arguments], env=environment, capture_output=True, text=True, timeout=100)


def test_pulls_from_a_hub_and_lists(tmp_path: Path, folder: Path) -> None:
    """A model is fetched by its id with its checksums compared, is listed, and a file that differs is refused."""
    with hub("own/tiny", folder) as address:
        done = fennel(tmp_path, "pull", "own/tiny", HF_ENDPOINT=address)
    assert done.returncode == 0, done.stderr
    assert "own/tiny is in " in done.stdout
    assert "checksums compared" in done.stdout
    listed = json.loads(fennel(tmp_path, "list", "--json", FENNEL_ENGINE__MODEL="own/tiny").stdout)
    (one,) = listed["models"]
    assert (one["name"], one["in_use"]) == ("own/tiny", True)
    assert one["size_bytes"] > 100_000
    with hub("own/spoilt", folder, spoilt="tokenizer.json") as address:
        done = fennel(tmp_path, "pull", "own/spoilt", HF_ENDPOINT=address)
    assert done.returncode == 1
    assert "tokenizer.json is not what the hub has" in done.stderr


def test_checks(tmp_path: Path, folder: Path) -> None:
    """A check tells memory, template and answers in several languages; nothing of torch is in the command itself."""
    done = fennel(tmp_path, "check", str(folder))
    assert done.returncode == 0, done.stderr
    assert "Memory: 0.4 GB (" in done.stdout
    assert "Chat template: found" in done.stdout
    for language in ("English", "Chinese", "German", "Japanese"):
        assert f"{language}: " in done.stdout


def test_says_what_is_wrong(tmp_path: Path) -> None:
    """A name that leads nowhere is one sentence and exit code 1."""
    done = fennel(tmp_path, "check", "no such model")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.strip().startswith("fennel: engine.model='no such model' is neither")
