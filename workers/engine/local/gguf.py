"""GGUF files: de-quantised once into a model folder, since loading one takes five times as long each time."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from workers.engine.engine import ModelError, Progress

MARKER = "complete.json"
SUFFIX = ".gguf"
# Half precision holds what 2 to 8 bits with a scale can say, and the folder has half the size.
BYTES_A_PARAMETER = 2


def unpack(file: Path, models_folder: Path, progress: Progress) -> Path:
    """The model folder of a GGUF file, made below the models folder if it is not there, or of an older file.

    Raises ModelError for what is no GGUF file, and where memory or disk do not suffice, with the arithmetic.
    """
    named = hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:8]
    folder = models_folder / "gguf" / f"{file.stem}-{named}"
    try:
        about = file.stat()
        stamp = {"size_bytes": about.st_size, "changed_ns": about.st_mtime_ns, "form": 1}
        return unpack_once(folder, stamp, unpack_into(file, progress))
    except OSError as error:
        raise ModelError(f"{file} cannot be unpacked into {folder}: {error.strerror or error}") from error


def unpack_into(file: Path, progress: Progress) -> Callable[[Path], None]:
    """For `unpack_once`: writes the file's model into a folder."""
    return lambda folder: _unpack(file, folder, progress)


def unpack_once(folder: Path, stamp: Mapping[str, object], write: Callable[[Path], None]) -> Path:
    """The folder, written by `write` into one beside it and moved there in one step, if it is not there yet.

    Processes that start at the same time write it once: the others wait. It appears whole or not at all. A folder with
    another stamp gives way.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder.parent / f".{folder.name}.lock"):
        if not _is_complete(folder, stamp):
            # Under one name: what a killed process left behind is taken away by the next one.
            unfinished = folder.with_name(f".{folder.name}.unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            try:
                write(unfinished)
                (unfinished / MARKER).write_text(json.dumps(stamp))
                shutil.rmtree(folder, ignore_errors=True)
                unfinished.rename(folder)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def convert(file: Path, folder: Path, progress: Progress, *, dtype: str = "float32") -> None:
    """De-quantise a GGUF file into a folder."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    progress("reading the model's vocabulary", 0.05)
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    progress("unpacking the model, once", 0.3)
    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=getattr(torch, dtype))
    # It is an ordinary model now, and says so, or else it refuses to be saved.
    model.hf_quantizer = None
    model.is_quantized = False
    del model.config.quantization_config
    progress("saving the model", 0.85)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _unpack(file: Path, folder: Path, progress: Progress) -> None:
    import torch

    from workers.engine.local.memory import Need, check_memory

    need = Need(_parameters(file), BYTES_A_PARAMETER, 0, 0)
    check_memory(need, file.name, torch.device("cpu"))
    size_bytes = need.parameters * BYTES_A_PARAMETER
    free_bytes = shutil.disk_usage(folder.parent).free
    if free_bytes < size_bytes:
        raise ModelError(
            f"the model {file.name} needs {size_bytes / 1e6:,.0f} MB in {folder.parent} when it is unpacked, where "
            f"{free_bytes / 1e6:,.0f} MB are free: free some space or set FENNEL_HOME to another disk"
        )
    try:
        convert(file, folder, progress, dtype="float16")
    except OSError:
        raise
    except Exception as error:  # the tokenizers package raises nothing narrower
        first_line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ModelError(f"transformers cannot read the model {file}: {first_line}") from error


def _parameters(file: Path) -> int:
    """The number of parameters in a GGUF file, from its list of tensors."""
    from gguf import GGUFReader

    try:
        return sum(int(tensor.n_elements) for tensor in GGUFReader(file).tensors)
    except (ValueError, IndexError, KeyError, OverflowError) as error:
        raise ModelError(f"{file} is no whole GGUF file: fetch it again") from error


def _is_complete(folder: Path, stamp: Mapping[str, object]) -> bool:
    try:
        return bool(json.loads((folder / MARKER).read_text()) == stamp)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False


@contextmanager
def _alone(lock_file: Path) -> Iterator[None]:
    """Hold a lock that other processes wait for; it goes with the process, however that ends."""
    descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
