"""The embedded server's append-only files as they are at one moment, while it goes on writing.

No command is sent to the server, so that nobody needs a permission for it. A manifest names the files: a base that is
never changed, and files that only grow. What is in them up to a length is a state that the server acknowledged.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cli.archive import ArchiveError

FOLDER = "appendonlydir"
TRIES, PAUSE_S = 50, 0.1
"""The server rewrites its files once in a while, and then names others within milliseconds."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """One file, open, of which the first `size_bytes` count."""

    name: str
    file: IO[bytes]
    size_bytes: int


@contextmanager
def frozen(folder: Path) -> Iterator[list[Frozen]]:
    """The files in `folder` as they are now, the manifest last; none where no server ever wrote. Raises ArchiveError.

    A file that the server deletes meanwhile stays readable, because it is open.
    """
    manifests = sorted(folder.glob("*.manifest"))
    if not manifests:
        yield []
        return
    for _ in range(TRIES):
        with ExitStack() as stack:
            files = _open_all(manifests[0], stack)
            if files is not None:
                yield files
                return
        time.sleep(PAUSE_S)
    raise ArchiveError(f"Redis changes its files in {folder} again and again: try again")


def _open_all(manifest: Path, stack: ExitStack) -> list[Frozen] | None:
    """All files that the manifest names, or None where it named others before they were open."""
    try:
        said = manifest.read_bytes()
        names = [manifest.parent / name for name in _names(said.decode())]
        opened = [stack.enter_context(path.open("rb")) for path in names]
        # In their order: the server closes one before it begins the next.
        files = [
            Frozen(path.name, file, os.fstat(file.fileno()).st_size) for path, file in zip(names, opened, strict=True)
        ]
        if manifest.read_bytes() != said:
            return None
    except FileNotFoundError:
        return None
    return [*files, Frozen(manifest.name, io.BytesIO(said), len(said))]


def _names(said: str) -> list[str]:
    """The base and the files after it in their order; what is only history is not needed.

    A line is ``file NAME seq NUMBER type b|i|h`` (Valkey, src/aof.c).
    """
    rows = [line.split() for line in said.splitlines() if line.strip() and not line.startswith("#")]
    try:
        fields = [dict(zip(row[::2], row[1::2], strict=True)) for row in rows]
        return [row["file"] for row in fields if row["type"] in ("b", "i")]
    except (ValueError, KeyError) as error:
        raise ArchiveError(
            f"the manifest of Redis' append-only files is of a form that is not known ({error})"
        ) from error
