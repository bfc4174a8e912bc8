"""Documents of every kind that is read: by the readers in this process, and by the parsing process that is in use."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

from config.environment import CHECKOUT
from tests.fuzz.target import Reading, Target
from workers.knowledge.document import DocumentError
from workers.knowledge.kind import KINDS
from workers.knowledge.parse import load, parse
from workers.knowledge.parsing import ParsingLimits, ParsingPool

GOOD = CHECKOUT / "tests" / "data" / "documents" / "good"
MAX_UNPACKED_BYTES = 50_000_000
MAX_FILE_BYTES = 60_000
PACKAGES = (".docx", ".pptx", ".xlsx")


class Documents(Target):
    """An input is a file's suffix, a line's end, and its content; of a package it is JSON with its suffix and parts."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of docutils, at what it will lose one day
            for kind in KINDS:
                for suffix in kind.suffixes:
                    load(f"a{suffix}")

    def seeds(self) -> Sequence[bytes]:
        """The good files, packages unpacked."""
        files = [file for file in sorted(GOOD.iterdir()) if file.stat().st_size < MAX_FILE_BYTES]
        return [_unpacked(file) for file in files]

    def read(self, data: bytes) -> bool:
        """Raises anything but DocumentError."""
        name, content = _file(data)
        with Reading(DocumentError) as reading:
            self.parse(name, content)
        return reading.took

    def parse(self, name: str, content: bytes) -> None:
        """Read it here."""
        parse(name, content, MAX_UNPACKED_BYTES)


class Sandboxed(Documents):
    """The same through the pipes of a parsing process."""

    LIMIT_S = 30.0

    def __init__(self) -> None:
        names = [f"a{suffix}" for kind in KINDS for suffix in kind.suffixes]
        self._pool = ParsingPool(ParsingLimits(max_file_mb=5, memory_mb=1024, timeout_s=10.0), names)

    def parse(self, name: str, content: bytes) -> None:
        """Read it there."""
        self._pool.parse(name, content)

    def close(self) -> None:
        """End the process."""
        self._pool.close()


def _unpacked(file: Path) -> bytes:
    if file.suffix not in PACKAGES:
        return file.suffix.encode() + b"\n" + file.read_bytes()
    with zipfile.ZipFile(file) as package:
        parts = {name: package.read(name).decode("latin-1") for name in package.namelist()}
    return json.dumps({"suffix": file.suffix, "parts": parts}).encode()


def _file(data: bytes) -> tuple[str, bytes]:
    try:
        package = json.loads(data)
        return f"a{package['suffix']}".replace("/", ""), _packed(package["parts"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        suffix, _, content = data.partition(b"\n")
        return "a" + suffix.decode("utf-8", "replace").replace("/", ""), content


def _packed(parts: dict[str, object]) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as package:
        for name, text in parts.items():
            package.writestr(name.encode("utf-8", "replace").decode() or "x", str(text).encode("latin-1", "replace"))
    return whole.getvalue()
