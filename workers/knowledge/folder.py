"""A folder of documents: which files in it are read, and their bytes, never from outside of it."""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from workers.knowledge.document import DocumentError
from workers.knowledge.kind import is_wanted

BYTES_A_MB = 1_000_000
_FILE_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


@dataclass(frozen=True, slots=True)
class DocumentFile:
    """A file that may be a document: where it is, and what an answer calls it.

    `root` is the folder that was named, resolved; nothing outside it is read. `identity` says which document it is:
    the same file is the same document, however its path was written. `url` is empty where nobody can open it.
    """

    path: Path
    root: Path
    source: str
    identity: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class FileContent:
    """A file's bytes, and when it last changed, in seconds since the epoch."""

    content: bytes
    size_bytes: int
    modified_at_s: float


def find_files(
    given: Path, left_out: Counter[str] | None = None, address: Callable[[str], str] = lambda _: ""
) -> Iterator[DocumentFile]:
    """The file, or every file of a wanted kind below the folder; `left_out` counts the suffixes of the others.

    `address` makes a document's URL of its path below the folder.

    Hidden files and folders are passed over, and so are links to folders: what they hold has a path of its own.
    """
    source = Path(os.path.normpath(given))
    root = source.resolve()
    if not root.is_dir():
        # A file that was named is read wherever its link leads; it is not found by walking a folder.
        yield DocumentFile(root, root.parent, str(source), str(root), address(root.name))
        return
    for folder, names, files in os.walk(root):
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in sorted(files):
            if name.startswith("."):
                continue
            path = Path(folder) / name
            if is_wanted(name):
                below = path.relative_to(root)
                yield DocumentFile(path, root, str(source / below), str(path), address(below.as_posix()))
            elif left_out is not None:
                left_out[path.suffix.lower() or "no suffix"] += 1


def file_state(file: DocumentFile) -> tuple[int, float]:
    """The file's size in bytes and when it last changed, without opening it; raises DocumentError where it is gone.

    A file's content cannot change without its change time, which no program can set back as it can the other one.
    """
    try:
        state = file.path.stat()
    except (OSError, RuntimeError) as error:
        raise _unreadable(error) from error
    return state.st_size, max(state.st_mtime, state.st_ctime)


def read_file(file: DocumentFile, max_file_mb: int) -> FileContent:
    """The file's content; raises DocumentError for one that must not or cannot be read."""
    limit = max_file_mb * BYTES_A_MB
    try:
        # Opened first and looked at afterwards: what a path means can change between a look and an opening.
        descriptor = os.open(file.path, _FILE_FLAGS)
        with os.fdopen(descriptor, "rb") as opened:
            state = os.fstat(descriptor)
            if not stat.S_ISREG(state.st_mode):
                raise DocumentError("not a file")
            if not _path_of(descriptor, file.path).is_relative_to(file.root):
                raise DocumentError(f"a link that leads out of {file.root.name}")
            # One byte more than it has, for a file that grows; a buffer of the limit's size would be slow to get.
            content = opened.read(state.st_size + 1) if state.st_size <= limit else b""
            if len(content) > state.st_size:
                content += opened.read(limit + 1 - len(content))
    except (OSError, RuntimeError) as error:
        raise _unreadable(error) from error
    if len(content) > limit or state.st_size > limit:
        raise DocumentError(f"larger than {max_file_mb} MB (knowledge.max_file_mb)")
    return FileContent(content, state.st_size, max(state.st_mtime, state.st_ctime))


def _path_of(descriptor: int, path: Path) -> Path:
    """Where an open file really is: Linux tells of the file that was opened, elsewhere the path is looked up."""
    try:
        return Path(os.readlink(f"/proc/self/fd/{descriptor}"))  # noqa: PTH115 -- half the time for each file
    except FileNotFoundError:
        return path.resolve(strict=True)


def _unreadable(error: OSError | RuntimeError) -> DocumentError:
    if isinstance(error, FileNotFoundError):
        return DocumentError("no such file")
    if isinstance(error, OSError) and error.errno == errno.ENXIO:
        return DocumentError("not a file")
    return DocumentError(f"cannot be read: {getattr(error, 'strerror', None) or error}")
