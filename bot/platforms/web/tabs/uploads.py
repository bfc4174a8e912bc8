"""Files that people send: named, placed and measured by us."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from bot.plain_text import clean
from config.settings import Settings
from contract.errors import FennelError

MEGABYTE = 1_000_000
DOCUMENTS = (
    *(".md", ".markdown", ".txt", ".text", ".rst", ".html", ".htm", ".xhtml", ".pdf", ".docx", ".pptx", ".xlsx"),
    *(".csv", ".tsv", ".jsonl", ".ipynb", ".py", ".pyi", ".js", ".mjs", ".cjs", ".jsx", ".ts", ".tsx", ".go"),
    *(".java", ".c", ".h", ".cc", ".cpp", ".cxx", ".hpp", ".rs", ".rb", ".cs", ".php", ".sh", ".bash"),
)
"""What can be read as documents. A test compares it with the readers, which a bot does not import."""
QUESTIONS = (".txt", ".jsonl", ".ndjson", ".json", ".csv")
NAME_CHARACTERS = 80
_NOT_IN_A_NAME = re.compile(r"[^\w.() -]+")


class UploadError(FennelError):
    """A file that is not taken; the sentence says why."""


def safe_name(name: str, suffixes: Sequence[str]) -> str:
    """A name for a file, made of what its sender calls it: one part, nothing hidden, of a kind that is wanted.

    Raises UploadError.
    """
    last = re.split(r"[/\\]", clean(name))[-1]
    stem, dot, ending = last.rpartition(".")
    suffix = f"{dot}{ending}".lower()
    if suffix not in suffixes:
        raise UploadError(f"{last[:NAME_CHARACTERS]} is of no kind that can be read")
    kept = _NOT_IN_A_NAME.sub("-", stem).strip(" .-")[: NAME_CHARACTERS - len(suffix)].strip(" .-")
    return f"{kept or 'document'}{suffix}"


def place_documents(files: Sequence[str], settings: Settings, base: str) -> list[Path]:
    """Put what was sent among the uploaded documents of a base; the same name again is a newer form of it.

    `files` are where the server has put them. Raises UploadError; nothing is placed then.
    """
    folder = settings.uploads_folder / base
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    names = [safe_name(Path(file).name, DOCUMENTS) for file in files]
    most_bytes = settings.knowledge.max_file_mb * MEGABYTE
    for file, name in zip(files, names, strict=True):
        if Path(file).stat().st_size > most_bytes:
            raise UploadError(f"{name} is larger than {settings.knowledge.max_file_mb} MB")
    placed = []
    for file, name in zip(files, names, strict=True):
        # First beside its place, then into it: a reader never sees half a file.
        beside = folder / f".{name}.part"
        shutil.copyfile(file, beside)
        beside.chmod(0o600)
        placed.append(beside.replace(folder / name))
    return placed


def remove_sent(files: Sequence[str], incoming: Path) -> None:
    """Remove what was sent from where the server had put it, with its folder."""
    for file in map(Path, files):
        if file.resolve().is_relative_to(incoming.resolve()):
            file.unlink(missing_ok=True)
            if file.parent != incoming and not any(file.parent.iterdir()):
                file.parent.rmdir()
