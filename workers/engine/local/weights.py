"""Where a model's weights come from: the built-in one, a folder, or a hub."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from workers.engine.engine import ModelError, Progress
from workers.engine.local import gguf, smollm2

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
# No pickled weights: loading those runs whatever code is in them.
HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "tokenizer.model", "*.txt"]


def find_weights(model: str, models_folder: Path, progress: Progress) -> Path:
    """The folder of the model that the setting `engine.model` names, made or fetched where it is missing.

    Raises ModelError with a sentence for a name that leads nowhere, and for a folder that lacks files.
    """
    if folder := _as_it_is(model, models_folder):
        return folder
    if model == smollm2.NAME:
        return smollm2.prepare(models_folder, progress)
    file = Path(model).expanduser()
    return gguf.unpack(file, models_folder, progress) if _is_gguf(file) else _fetch(model, models_folder, progress)


def weights_here(model: str, models_folder: Path) -> Path | None:
    """The model's folder where it is on this machine; None where the first start makes or fetches it.

    Raises ModelError as `find_weights`, and where the first start could not make it.
    """
    if folder := _as_it_is(model, models_folder):
        return folder
    made: Path | None
    if model == smollm2.NAME:
        made = models_folder / model
        if not made.is_dir():
            smollm2.find_gguf()
            made = None
    else:
        made = None if _is_gguf(Path(model)) else _cached(model, models_folder)
    if made:
        check_folder(made)
    return made


def _as_it_is(model: str, models_folder: Path) -> Path | None:
    """The folder of a model that was pulled, or is named by its path; None for one that is made or fetched."""
    if model == smollm2.NAME:
        return None
    folder = Path(model).expanduser()
    if (models_folder / model / gguf.MARKER).is_file():  # put there by `fennel model pull`
        folder = models_folder / model
    elif _is_gguf(folder):
        if not folder.is_file():
            raise ModelError(f"engine.model names the file {folder}, which does not exist")
        return None
    elif folder.is_absolute() or model.startswith((".", "~")) or folder.is_dir():
        if not folder.is_dir():
            raise ModelError(f"engine.model names the folder {folder}, which does not exist")
    elif HUB_ID.fullmatch(model):
        return None
    else:
        raise _no_name(model)
    check_folder(folder)
    return folder


def _is_gguf(file: Path) -> bool:
    return file.suffix == gguf.SUFFIX


def _no_name(model: str) -> ModelError:
    return ModelError(
        f"engine.model={model!r} is neither {smollm2.NAME}, nor a folder, nor a model id of a hub (owner/name)"
    )


def check_folder(folder: Path) -> None:
    """Raise ModelError where a model's folder lacks a file that loading needs; the sentence names it."""
    config_file = folder / "config.json"
    if not config_file.is_file():
        raise ModelError(f"the model folder {folder} lacks config.json")
    try:
        json.loads(config_file.read_bytes())
    except ValueError as error:
        raise ModelError(f"{config_file} is no JSON ({error}): fetch the model again") from error
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise ModelError(f"the model folder {folder} lacks tokenizer.json")
    for name in weight_files(folder):
        if not (folder / name).is_file():
            raise ModelError(f"the model folder {folder} lacks {name}")


def weight_files(folder: Path) -> list[str]:
    """The names of the files that hold the weights, whether they are there or not."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return ["model.safetensors"]
    try:
        return sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{index} is no list of weights: fetch the model again") from error


def _snapshot(model: str, models_folder: Path, *, only_here: bool) -> Path:
    """The model's folder in the hub's own cache below the models folder; raises what the hub's library raises."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        folder = snapshot_download(
            model, cache_dir=models_folder / "hub", allow_patterns=HUB_FILES, local_files_only=only_here
        )
    except HFValidationError as error:
        raise _no_name(model) from error
    return Path(folder)


def _cached(model: str, models_folder: Path) -> Path | None:
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return _snapshot(model, models_folder, only_here=True)
    except LocalEntryNotFoundError:
        return None


def _fetch(model: str, models_folder: Path, progress: Progress) -> Path:
    """The model's folder; only what is missing of it is fetched."""
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

    progress(f"fetching {model}", 0.0)
    try:
        folder = _snapshot(model, models_folder, only_here=False)
    except GatedRepoError as error:
        raise ModelError(
            f"the hub gives the model {model} only to those who have accepted its licence: "
            f"accept it there and set HF_TOKEN"
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelError(f"the hub knows no model {model}: check the name, or set HF_TOKEN if it is private") from error
    except LocalEntryNotFoundError as error:
        raise ModelError(
            f"the model {model} is not on this machine and the hub cannot be reached: "
            f"check the network, or copy the model here and set engine.model to its folder"
        ) from error
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        raise ModelError(
            f"the model {model} could not be fetched ({reason}): try again, or set engine.model to a folder"
        ) from error
    check_folder(folder)
    return folder
