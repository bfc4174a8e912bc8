"""``python -m workers.engine.local.manage pull|check MODEL``: what `fennel model` has done in a process of its own.

Prints JSON lines: {"progress": [what, share]} as it goes, and at the last {"result": …} or {"error": sentence}.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoTokenizer

from config.loading import load_settings
from config.settings import Settings
from workers.engine.engine import ChatTurn, GenerationRequest, ModelError, Progress
from workers.engine.local import gguf, smollm2
from workers.engine.local.loading import choose_device, need_with
from workers.engine.local.memory import check_memory
from workers.engine.local.weights import HUB_FILES, HUB_ID, check_folder, find_weights

LOOK_EVERY_S = 0.3
# A fact, a question of it, and the word that a right answer has.
TRIALS = {
    "English": ("The office opens at 9:30 on Mondays.", "When does the office open on Mondays?", "9:30"),
    "Chinese": ("办公室周一上午九点半开门，周末不开门。", "办公室周一几点开门？", "九点半"),
    "German": ("Das Büro öffnet montags um 9:30 Uhr.", "Wann öffnet das Büro montags?", "9:30"),
    "Japanese": ("オフィスは月曜日の9時30分に開きます。", "オフィスは月曜日の何時に開きますか？", "9時30分"),
}


def main() -> int:
    """Do it; returns the exit code."""
    command, model = sys.argv[1:3]
    settings = load_settings()
    settings.make_folders()
    try:
        result = {"pull": pull, "check": check}[command](model, settings, _tell)
    except (ModelError, OSError) as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return 1
    print(json.dumps({"result": result}), flush=True)
    return 0


def pull(model: str, settings: Settings, progress: Progress) -> dict[str, Any]:
    """Bring a model into the home folder, with its checksums looked at; says under which name it is there."""
    path, models = Path(model).expanduser(), settings.models_folder
    if path.suffix == gguf.SUFFIX and path.is_file():
        stamp = {"sha256": {path.name: _digest(path, progress)}}
        unpack = gguf.unpack_into(path, progress)
        return {"name": path.stem, "folder": str(gguf.unpack_once(models / path.stem, stamp, unpack)), "files": 1}
    if path.is_dir():
        check_folder(path)
        name = path.resolve().name
        if path.resolve() == (models / name).resolve():
            raise ModelError(f"{path} is in the home folder already: engine.model={name}")
        return {"name": name, **_copy(path.resolve(), models / name, progress)}
    if model == smollm2.NAME or not HUB_ID.fullmatch(model):
        return {"name": model, "folder": str(find_weights(model, models, progress)), "files": 1}
    with _Watched(model, models / "hub", progress):
        folder = find_weights(model, models, progress)
    return {"name": model, "folder": str(folder), "files": verify_hub(folder, progress)}


def check(model: str, settings: Settings, progress: Progress) -> dict[str, Any]:
    """What a model needs, whether it has a chat template, and how it answers in some languages.

    Raises ModelError, before anything is loaded, where it does not fit.
    """
    engine = settings.engine.model_copy(update={"kind": "transformers", "model": model})
    folder = find_weights(model, settings.models_folder, progress)
    device = choose_device(engine.device)
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        template = bool(AutoTokenizer.from_pretrained(folder, local_files_only=True).chat_template)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"the model {model} cannot be read: {str(error).strip().splitlines()[0]}") from error
    need = need_with(engine, settings.worker.max_in_flight, folder, config, device)
    found: dict[str, Any] = {"folder": str(folder), "memory": str(need), "chat_template": template, "languages": {}}
    check_memory(need, model, device)
    marker = folder / gguf.MARKER
    sums = json.loads(marker.read_text()).get("sha256", {}) if marker.is_file() else {}
    for name, digest in sums.items():
        if (folder / name).is_file() and _digest(folder / name, progress) != digest:
            raise ModelError(f"{folder / name} is not what was pulled: pull the model again")
    if template:
        from workers.engine.engines.transformers import TransformersEngine

        running = TransformersEngine(engine, settings.models_folder, len(TRIALS))
        running.load(progress)
        found |= {"about": dict(running.about), "languages": _try_languages(running)}
    return found


def verify_hub(folder: Path, progress: Progress) -> int:
    """Compare fetched files with the hub's checksums, which name them in its cache; the number of files.

    Large files are named by their sha256, others by git's sha1 of a blob. One that differs is removed, ModelError.
    """
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    for number, file in enumerate(files):
        progress("comparing checksums", number / len(files))
        named = file.resolve().name
        if re.fullmatch(r"[0-9a-f]{64}", named):
            digest = _digest(file, _quiet)
        elif re.fullmatch(r"[0-9a-f]{40}", named):
            content = file.read_bytes()
            digest = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        else:
            continue  # a hub without checksums
        if digest != named:
            file.resolve().unlink()
            file.unlink()
            raise ModelError(f"{file.name} is not what the hub has ({digest[:12]}… and not {named[:12]}…): pull again")
    return len(files)


def _copy(source: Path, folder: Path, progress: Progress) -> dict[str, Any]:
    """Copy a model's folder; its marker keeps the checksums of what was read, and what was written has them."""
    files = [file for file in sorted(source.iterdir()) if file.is_file() and file.name != gguf.MARKER]
    size_bytes = sum(file.stat().st_size for file in files)
    free_bytes = shutil.disk_usage(folder.parent).free
    if free_bytes < size_bytes:
        raise ModelError(
            f"the model needs {size_bytes / 1e6:,.0f} MB in {folder.parent}, where {free_bytes / 1e6:,.0f} MB are free"
        )
    sums = {file.name: _digest(file, progress) for file in files}

    def write(unfinished: Path) -> None:
        unfinished.mkdir()
        for number, file in enumerate(files):
            progress(f"copying {file.name}", number / len(files))
            shutil.copyfile(file, unfinished / file.name)
            if _digest(unfinished / file.name, _quiet) != sums[file.name]:
                raise ModelError(f"{file} could not be copied: what was written is not what was read")

    gguf.unpack_once(folder, {"sha256": sums}, write)
    return {"folder": str(folder), "files": len(files)}


def _digest(file: Path, progress: Progress) -> str:
    progress(f"reading {file.name}", 0.0)
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _try_languages(engine: Any) -> dict[str, dict[str, Any]]:
    """One question a language, about a fact that stands in the prompt: the answer, and whether it has the fact."""
    for name, (fact, question, _) in TRIALS.items():
        engine.add(GenerationRequest(name, (ChatTurn("user", f"{fact}\n\n{question}"),), 40))
    answers = dict.fromkeys(TRIALS, "")
    while engine.busy:
        for event in engine.step():
            answers[event.id] += event.text
    return {name: {"answer": text.strip(), "right": TRIALS[name][2] in text} for name, text in answers.items()}


class _Watched:
    """Tells while a hub's model is fetched how much of it is there, from the sizes that the hub says."""

    def __init__(self, model: str, cache: Path, progress: Progress) -> None:
        self._model, self._cache, self._progress = model, cache, progress
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def _watch(self) -> None:
        from huggingface_hub import snapshot_download

        try:
            planned = snapshot_download(self._model, cache_dir=self._cache, allow_patterns=HUB_FILES, dry_run=True)
        except Exception:  # the fetching itself says what is wrong
            return
        missing = sum(file.file_size or 0 for file in planned if file.will_download)
        blobs = self._cache / f"models--{self._model.replace('/', '--')}" / "blobs"
        before = _size_bytes(blobs)
        while missing and not self._ended.wait(LOOK_EVERY_S):
            there = _size_bytes(blobs) - before
            self._progress(f"fetching {missing / 1e6:,.0f} MB", min(1.0, there / missing))


def _size_bytes(folder: Path) -> int:
    try:
        return sum(file.stat().st_size for file in folder.iterdir())
    except FileNotFoundError:  # not yet there, or a file that was moved meanwhile
        return 0


def _quiet(*_: object) -> None:
    """Progress of what is quick."""


def _tell(what: str, share: float) -> None:
    print(json.dumps({"progress": [what, share]}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
