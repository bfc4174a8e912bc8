"""A store: where documents, their passages, vectors and words are kept, in one or more knowledge bases.

A change of a base is atomic: whoever searches sees all of it or nothing, also when the writer is killed.
A search reads from a snapshot, in which a base does not change. Bases share nothing that a search could see.
The implementations stand in `workers/knowledge/stores/`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from config.settings import Settings
from workers.knowledge.document import KnowledgeError
from workers.knowledge.embedder import Embedder, Vectors
from workers.knowledge.passage import Passage
from workers.knowledge.words import Language

Embed = Callable[[Sequence[Passage]], Vectors]
"""Makes the vectors of a document's passages."""


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A document to be put into a base, read and embedded.

    `identity` says which document it is: putting one that is there replaces it. `fingerprint` says what its content
    was. `words` holds the words of each passage in order, which full-text search finds it by.
    """

    identity: str
    source: str
    title: str
    language: Language
    fingerprint: str
    passages: Sequence[Passage]
    words: Sequence[Sequence[str]]
    vectors: Vectors
    size_bytes: int = 0
    modified_at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document that is there. Times are seconds since the epoch."""

    identity: str
    source: str
    title: str
    language: str
    fingerprint: str
    size_bytes: int
    modified_at_s: float
    added_at_s: float
    passages: int


@dataclass(frozen=True, slots=True)
class StoredBase:
    """A knowledge base. The generation rises with every change of what is found in it."""

    name: str
    documents: int
    passages: int
    generation: int


@dataclass(frozen=True, slots=True)
class FileState:
    """A document whose content is the same while its file is another: its new size and time."""

    identity: str
    size_bytes: int
    modified_at_s: float


class Snapshot(ABC):
    """Some bases as they were at one moment. For one thread; passages of all of them are found together."""

    @property
    @abstractmethod
    def size(self) -> int:
        """How many passages there are."""

    @abstractmethod
    def nearest(self, vector: Vectors, limit: int) -> list[tuple[int, float]]:
        """The passages whose vectors are nearest to this one, with their cosines, the nearest first."""

    @abstractmethod
    def vectors(self, ids: Sequence[int]) -> dict[int, Vectors]:
        """The vectors of these passages."""

    @abstractmethod
    def with_words(self, weights: dict[str, float], limit: int) -> list[int]:
        """Passages that hold any of the words, the best first.

        The weights say how much each word counts; a store that has a better measure of its own may use that.
        """

    @abstractmethod
    def frequencies(self, words: Sequence[str]) -> dict[str, int]:
        """In how many passages each of the words stands."""

    @abstractmethod
    def words_of(self, ids: Sequence[int]) -> dict[int, list[str]]:
        """The words of each of the passages, as often as they stand there."""

    @abstractmethod
    def passages(self, ids: Sequence[int]) -> dict[int, Passage]:
        """The passages with these ids."""


class Store(ABC):
    """A place for knowledge bases. Every method may be called from many threads and processes at once.

    Raises KnowledgeError where the place cannot be read or written, or holds another embedder's vectors.
    """

    @abstractmethod
    def close(self) -> None:
        """Give back what is not in use."""

    @abstractmethod
    def bases(self) -> list[StoredBase]:
        """Every knowledge base, by name."""

    @abstractmethod
    def documents(self, base: str) -> list[StoredDocument]:
        """Every document of a base, by source; none for a base that is not there."""

    @abstractmethod
    def passages_of(self, base: str, identity: str) -> list[Passage]:
        """The passages of a document in their order; none for one that is not there."""

    @abstractmethod
    def snapshot(self, bases: Collection[str]) -> AbstractContextManager[Snapshot]:
        """These bases as they are now; one that is not there is empty."""

    @abstractmethod
    def check_embedder(self) -> None:
        """Raise KnowledgeError where the vectors are another embedder's."""

    @abstractmethod
    def apply(
        self,
        base: str,
        put: Iterable[NewDocument] = (),
        *,
        remove: Collection[str] = (),
        touch: Collection[FileState] = (),
    ) -> None:
        """Change a base in one step; makes it where it is not there.

        `put` is read to its end before anything changes, and nothing changes where it raises; it may take hours and
        hold more than fits into memory. `remove` holds identities, and those that are not there are passed over.
        """

    @abstractmethod
    def remove_base(self, base: str) -> bool:
        """Remove a base with all that is in it; False where it is not there."""

    @abstractmethod
    def rebuild(self, embed: Embed, progress: Callable[[int, int], None]) -> int:
        """Make every vector anew, in one step; tells `progress(done, all)`; says how many there are."""


def open_store(settings: Settings, embedder: Embedder) -> Store:
    """The store of the settings; nothing is read or written yet. Raises KnowledgeError where a package is missing."""
    url = settings.knowledge.postgres_url.get_secret_value()
    if url:
        try:
            from workers.knowledge.stores.postgres import PostgresStore
        except ModuleNotFoundError as error:
            raise KnowledgeError(
                f"knowledge.postgres_url is set, and {error.name} is not installed: pip install 'fennel[postgres]'"
            ) from error
        return PostgresStore(url, embedder.id, embedder.dimensions)
    from workers.knowledge.stores.embedded import EmbeddedStore

    return EmbeddedStore(settings.index_file, embedder.id, embedder.dimensions)


def embedder_mismatch(place: str, made: tuple[str, int], wanted: tuple[str, int]) -> KnowledgeError:
    """The error for vectors of another embedder, with the command that rebuilds them."""
    return KnowledgeError(
        f"the index {place} holds vectors of the embedder {made[0]} ({made[1]} numbers each), and the setting "
        f"knowledge.embedder means {wanted[0]} ({wanted[1]}): run `fennel kb rebuild`"
    )


def document_fields(document: NewDocument) -> tuple[str | int | float, ...]:
    """A document without its passages, in the order of the columns."""
    named = (document.identity, document.source, document.title, document.language, document.fingerprint)
    return (*named, document.size_bytes, document.modified_at_s)
