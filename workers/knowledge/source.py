"""A source: a folder or a git repository whose documents a knowledge base follows, with the rule for their URLs.

The sources stand in one small file beside the index, so that `fennel kb sync` alone brings all of them up to date.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from workers.knowledge.address import address_rule
from workers.knowledge.document import KnowledgeError
from workers.knowledge.folder import DocumentFile, find_files
from workers.knowledge.git import checkout, is_git_url, web_address

FILE_NAME = "sources.json"
GIT_FOLDER = "git"


@dataclass(frozen=True, slots=True)
class Source:
    """`place` is a repository's URL, or a folder as it was named, which answers cite; `folder` is its whole path.

    `base_url` is empty where people cannot open the documents.
    """

    base: str
    place: str
    folder: str = ""
    base_url: str = ""
    branch: str = ""

    @property
    def is_git(self) -> bool:
        """Whether it is a repository."""
        return is_git_url(self.place)

    @property
    def identity(self) -> str:
        """What the identities of its documents begin with."""
        if self.is_git:
            place = self.place.rstrip("/")
            return f"{place}#{self.branch}/" if self.branch else f"{place}/"
        return f"{Path(self.folder).resolve()}{os.sep}"


def source_files(source: Source, knowledge_folder: Path, left_out: Counter[str]) -> list[DocumentFile]:
    """The files of a source as they are now; a repository is fetched first.

    Raises KnowledgeError where the source is not there: then none of its documents is taken for removed.
    """
    if source.is_git:
        place = checkout(source.place, source.branch, knowledge_folder / GIT_FOLDER)
        rule = address_rule(source.base_url or web_address(source.place, source.branch))
        return [
            replace(
                file,
                source=f"{source.place.removesuffix('/')}/{file.path.relative_to(file.root).as_posix()}",
                identity=f"{source.identity}{file.path.relative_to(file.root).as_posix()}",
            )
            for file in find_files(place, left_out, rule)
        ]
    if not Path(source.folder).is_dir():
        raise KnowledgeError(f"there is no folder {source.folder}: nothing of it was changed or removed")
    files = find_files(Path(source.folder), left_out, address_rule(source.base_url))
    return [replace(file, source=str(Path(source.place) / file.path.relative_to(file.root))) for file in files]


def named_source(base: str, place: str, base_url: str, branch: str) -> Source:
    """The source that a person named."""
    folder = "" if is_git_url(place) else str(Path(place).absolute())
    return Source(base, place if not folder else os.path.normpath(place), folder, base_url, branch)


class Sources:
    """The file of sources; written whole and renamed into its place, so that a reader finds an old or a new one."""

    def __init__(self, knowledge_folder: Path) -> None:
        self._path = knowledge_folder / FILE_NAME

    def all(self) -> list[Source]:
        """Every source, by base and place; raises KnowledgeError for a file that cannot be read."""
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            return sorted((Source(**one) for one in found), key=lambda one: (one.base, one.place))
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError) as error:
            raise KnowledgeError(
                f"{self._path} cannot be read ({error}): move it away, and sync each source"
            ) from error

    def put(self, source: Source) -> None:
        """Add a source, or take it for the one of the same place and base."""
        with self._changing() as kept:
            kept[:] = [one for one in kept if (one.base, one.identity) != (source.base, source.identity)]
            kept.append(source)

    def remove(self, base: str, identity: str = "") -> None:
        """Forget the source of this identity, or all of a base."""
        with self._changing() as kept:
            kept[:] = [one for one in kept if one.base != base or (identity and one.identity != identity)]

    @contextmanager
    def syncing(self) -> Iterator[None]:
        """One sync at a time; raises KnowledgeError while there is another."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._path.with_name("sync.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise KnowledgeError("another sync is running: wait for its end") from error
            yield

    @contextmanager
    def _changing(self) -> Iterator[list[Source]]:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            kept = self.all()
            yield kept
            fresh = self._path.with_suffix(".new")
            fresh.write_text(json.dumps([asdict(one) for one in kept], ensure_ascii=False, indent=1), encoding="utf-8")
            fresh.replace(self._path)
