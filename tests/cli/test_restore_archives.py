"""`fennel restore` takes nothing out of an archive that is damaged, cut off, newer, or made by somebody else."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.archive import ArchiveError
from tests.cli.backups import Home, archive, home, run_restore

__all__ = ["archive", "home"]  # fixtures


def refused(archive: Path, home: Home) -> str:
    """What the restore of a bad archive says; asserts that nothing has changed."""
    before = {path: path.read_bytes() for path in home.path.rglob("*") if path.is_file() and "run" not in path.parts}
    restored = run_restore(archive, "--replace")
    after = {path: path.read_bytes() for path in home.path.rglob("*") if path.is_file() and "run" not in path.parts}

    assert isinstance(restored.exception, ArchiveError), (restored.exception, restored.output)
    # The database's own lock may have come with our look into it.
    assert {path.name for path in before.keys() ^ after.keys()} <= {"server.lock", "index.lock"}
    assert all(after[path] == content for path, content in before.items())
    return str(restored.exception)


def test_an_archive_that_is_cut_off_anywhere_is_refused(archive: Path, home: Home, tmp_path: Path) -> None:
    """At each of many lengths, compressed or not."""
    whole = archive.read_bytes()
    packed = gzip.compress(whole)
    cut = tmp_path / "cut.tar"
    # Behind the list of parts a tar has nothing but zeros.
    last = max(index for index, byte in enumerate(whole) if byte)
    for content, end in ((whole, last - 512), (packed, len(packed) - 1)):
        for length in [0, 1, 511, 512, 1536, *random.Random(7).sample(range(end), 12), end]:
            cut.write_bytes(content[:length])
            sentence = refused(cut, home)
            assert "damaged or cut off" in sentence or "is cut off" in sentence or "is no backup" in sentence, sentence


def test_an_archive_with_a_wrong_byte_is_refused(archive: Path, home: Home, tmp_path: Path) -> None:
    """A part's sum tells; so does the tar's own of a name."""
    whole = archive.read_bytes()
    with tarfile.open(archive) as tar:
        starts = [(info.offset, info.offset_data, info.size) for info in tar]
    wrong = tmp_path / "wrong.tar"
    for offset, data, size in starts:
        for place in (offset + 2, data + size // 2):
            wrong.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
            refused(wrong, home)


def rewritten(archive: Path, target: Path, change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]) -> Path:
    """The archive with its members changed."""
    with tarfile.open(archive) as tar:
        members = [(info, tar.extractfile(info).read()) for info in tar]  # type: ignore[union-attr]
    change(members)
    with tarfile.open(target, "w") as tar:
        for info, content in members:
            info.size = len(content) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(content))
    return target


def extra(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    """A member that should not be there."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize(
    "member",
    [
        pytest.param(extra("../escaped"), id="up"),
        pytest.param(extra("/tmp/escaped"), id="absolute"),
        pytest.param(extra("redis/appendonlydir/../../escaped"), id="up inside"),
        pytest.param(extra("gate/x.json", tarfile.SYMTYPE, "/etc/passwd"), id="symbolic link"),
        pytest.param(extra("gate/x.json", tarfile.LNKTYPE, "knowledge/index.sqlite3"), id="hard link"),
        pytest.param(extra("gate/x.json", tarfile.FIFOTYPE), id="pipe"),
        pytest.param(extra("gate/x.json", tarfile.CHRTYPE), id="device"),
        pytest.param(extra("gate/default.json"), id="twice"),
        pytest.param(extra("run/supervisor.sock"), id="another folder"),
        pytest.param(extra("gate/\nx.json"), id="line"),
    ],
)
def test_an_archive_made_by_somebody_else_gets_nothing_out(
    archive: Path, home: Home, tmp_path: Path, member: tarfile.TarInfo
) -> None:
    """No path, link or device of an archive's own choosing is made; what is no part of a backup is named."""
    made = rewritten(archive, tmp_path / "made.tar", lambda members: members.insert(-1, (member, b"")))

    assert "which is no part of a backup" in refused(made, home)
    assert not list(tmp_path.rglob("escaped"))


def in_json(name: str, **changed: Any) -> Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]:
    """Change members of one of the two lists in an archive."""

    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        for place, (info, content) in enumerate(members):
            if info.name == name:
                members[place] = (info, json.dumps({**json.loads(content), **changed}).encode())

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (in_json("fennel-backup.json", format=2, fennel="9.0"), "was made by a newer Fennel (9.0), whose archives"),
        (in_json("fennel-backup.json", wire_version=2, fennel="9.0"), "was made by a newer Fennel (9.0), whose data"),
        (in_json("fennel-backup.json", format="x"), "damaged or cut off"),
        (in_json("manifest.json", parts=[]), "its parts are not those that it lists"),
        (in_json("manifest.json", parts=7), "damaged or cut off"),
        (lambda members: members.pop(0), "is no backup of Fennel"),
        (lambda members: members.pop(1), "its parts are not those that it lists"),
    ],
)
def test_an_archive_of_another_kind_is_refused(
    archive: Path, home: Home, tmp_path: Path, change: Callable[[Any], None], sentence: str
) -> None:
    """A newer one, one whose lists are wrong, and a tar of something else."""
    assert sentence in refused(rewritten(archive, tmp_path / "other.tar", change), home)


def with_part(name: str, content: bytes) -> Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]:
    """An archive in order whose part is spoilt."""

    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        for place, (info, _) in enumerate(members):
            if info.name.endswith(name):
                members[place] = (info, content)
        info, listing = members[-1]
        body = json.loads(listing)
        for part in body["parts"]:
            if part["name"].endswith(name):
                part.update(size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        members[-1] = (info, json.dumps(body).encode())

    return change


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("index.sqlite3", b"no database" * 1000, "the knowledge base in the archive cannot be read"),
        ("base.rdb", b"no snapshot" * 10, "Redis cannot load what is in the archive; it says: "),
        ("aof.manifest", b"file ../../x seq 1 type b\n", "Redis cannot load what is in the archive; it says: "),
    ],
)
def test_an_archive_whose_data_cannot_be_used_is_refused(
    archive: Path, home: Home, tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    """What a server or the index would not start with is found before anything is replaced."""
    assert sentence in refused(rewritten(archive, tmp_path / "spoilt.tar", with_part(name, content)), home)
