"""A backup's archive: a tar whose first member says what it is and whose last one lists all others with their sums.

It is written in one go, so that a backup needs no room for a second copy, and read in one go: what lacks its last
member was cut off.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from contract.errors import FennelError

FORMAT = 1
"""Raised when an older Fennel could not read what is written; one less is read too."""
HEAD, MANIFEST = "fennel-backup.json", "manifest.json"
PART = re.compile(r"redis/appendonlydir/[\w.-]+|knowledge/index\.sqlite3|gate/[\w.-]+\.json|fennel\.toml")
"""What may be in it: nothing else is taken out, whatever its name."""
MAX_HEAD_BYTES = 1_000_000
CHUNK_BYTES = 1 << 20

Progress = Callable[[str, int], None]
"""Is told of each piece: the part's name, and how many bytes it has."""


class ArchiveError(FennelError):
    """An archive that cannot be written or used."""


@dataclass(frozen=True, slots=True)
class Part:
    """A file in the archive."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Head:
    """What made the archive, and when (seconds since the epoch)."""

    format: int
    fennel: str
    wire_version: int
    index_schema: int
    made_at_s: float


@dataclass(frozen=True, slots=True)
class Manifest:
    """The parts, and in sentences what was left out."""

    parts: tuple[Part, ...]
    left_out: tuple[str, ...] = field(default=())


class Writer:
    """Writes an archive part by part."""

    def __init__(self, file: IO[bytes], head: Head, *, compressed: bool, progress: Progress) -> None:
        # The quickest compression: the disk of a busy machine waits for the processor otherwise.
        how: dict[str, Any] = {"mode": "w:gz", "compresslevel": 1} if compressed else {"mode": "w"}
        self._tar = tarfile.open(fileobj=file, format=tarfile.PAX_FORMAT, **how)  # noqa: SIM115 -- `close` closes it
        self._made_at_s = head.made_at_s
        self._parts: list[Part] = []
        self._progress = progress
        self._add_json(HEAD, asdict(head))

    def add(self, name: str, source: IO[bytes], size_bytes: int) -> None:
        """Add the first `size_bytes` of a file; it may grow meanwhile. Raises ArchiveError where it is shorter."""
        summed = _Summed(source, size_bytes, lambda count: self._progress(name, count))
        self._tar.addfile(self._info(name, size_bytes), summed)
        self._parts.append(Part(name, size_bytes, summed.sha256))

    def close(self, left_out: tuple[str, ...]) -> Manifest:
        """Write the manifest."""
        manifest = Manifest(tuple(self._parts), left_out)
        self._add_json(MANIFEST, asdict(manifest))
        self._tar.close()
        return manifest

    def _add_json(self, name: str, body: object) -> None:
        wire = json.dumps(body, ensure_ascii=False, indent=1).encode()
        self._tar.addfile(self._info(name, len(wire)), io.BytesIO(wire))

    def _info(self, name: str, size_bytes: int) -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = size_bytes, 0o600, self._made_at_s
        return info


class _Summed:
    """Reads so many bytes of a file, and sums them."""

    def __init__(self, file: IO[bytes], size_bytes: int, progress: Callable[[int], None]) -> None:
        self._file = file
        self._left = size_bytes
        self._sum = hashlib.sha256()
        self._progress = progress

    def read(self, count: int = -1) -> bytes:
        piece = self._file.read(min(self._left, count if count >= 0 else self._left))
        if not piece and self._left:
            raise ArchiveError("a file became shorter while it was copied: try again")
        self._left -= len(piece)
        self._sum.update(piece)
        self._progress(len(piece))
        return piece

    @property
    def sha256(self) -> str:
        return self._sum.hexdigest()


# --- reading


@contextmanager
def opened(path: Path) -> Iterator[tuple[Head, tarfile.TarFile]]:
    """An archive and what it says of itself; whatever is wrong with it is raised as an ArchiveError in words."""
    try:
        with tarfile.open(path, "r:*") as tar:
            first = tar.next()
            if first is None or first.name != HEAD:
                raise ArchiveError(f"{path} is no backup of Fennel")
            yield _head(path, _json(tar, first)), tar
    except (tarfile.TarError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise ArchiveError(f"{path} is damaged or cut off ({error}): take another backup") from error


def _head(path: Path, body: dict[str, Any]) -> Head:
    if int(body["format"]) > FORMAT:
        raise ArchiveError(
            f"{path} was made by a newer Fennel ({body.get('fennel')}), whose archives this one does not read: "
            f"restore it with that version"
        )
    return Head(**{name: body[name] for name in Head.__dataclass_fields__})


def unpack(path: Path, tar: tarfile.TarFile, folder: Path, progress: Progress) -> Manifest:
    """Take the parts out into a folder and compare their sums; raises ArchiveError.

    Each is written by us under a name that we know: no link, device, or path of the archive's own choosing is made.
    """
    found: dict[str, Part] = {}
    for info in iter(tar.next, None):
        if info.name == MANIFEST:
            body = _json(tar, info)
            manifest = Manifest(tuple(Part(**part) for part in body["parts"]), tuple(body["left_out"]))
            if sorted(manifest.parts, key=_name) != sorted(found.values(), key=_name):
                raise ArchiveError(f"{path} is damaged: its parts are not those that it lists")
            while tar.fileobj and tar.fileobj.read(CHUNK_BYTES):
                pass  # to the compression's own sum
            return manifest
        if not info.isreg() or not PART.fullmatch(info.name) or info.name in found:
            raise ArchiveError(f"{path} holds {info.name!r}, which is no part of a backup: it was not made by Fennel")
        found[info.name] = _take_out(tar, info, folder / info.name, progress)
    raise ArchiveError(f"{path} is cut off: it ends before its list of parts")


def _take_out(tar: tarfile.TarFile, info: tarfile.TarInfo, target: Path, progress: Progress) -> Part:
    source = tar.extractfile(info)
    if source is None:
        raise tarfile.ReadError(f"{info.name} cannot be read")
    total, size_bytes = hashlib.sha256(), 0
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with target.open("xb") as file:
        while piece := source.read(CHUNK_BYTES):
            file.write(piece)
            total.update(piece)
            size_bytes += len(piece)
            progress(info.name, len(piece))
    target.chmod(0o600)
    return Part(info.name, size_bytes, total.hexdigest())


def _json(tar: tarfile.TarFile, info: tarfile.TarInfo) -> dict[str, Any]:
    source = tar.extractfile(info) if info.isreg() and info.size <= MAX_HEAD_BYTES else None
    if source is None:
        raise tarfile.ReadError(f"{info.name} is no list")
    body = json.loads(source.read())
    if not isinstance(body, dict):
        raise tarfile.ReadError(f"{info.name} is no list")
    return body


def _name(part: Part) -> str:
    return part.name
