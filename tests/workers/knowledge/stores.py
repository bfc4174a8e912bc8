"""What tests of stores put into them, and a process that writes until it is killed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from tests.workers.knowledge.word_embedder import WordEmbedder
from workers.knowledge.base import DEFAULT_BASE
from workers.knowledge.passage import Passage
from workers.knowledge.store import NewDocument, Store
from workers.knowledge.stores.embedded import EmbeddedStore
from workers.knowledge.stores.matrix import EXACT_UP_TO
from workers.knowledge.stores.postgres import PostgresStore
from workers.knowledge.words import language_of, terms

EMBEDDER = WordEmbedder()
WRITTEN_DOCUMENTS = 10
WRITTEN_PASSAGES = 40


class StorePlace:
    """Where a store is; opens it for any embedder, as another process would."""

    def __init__(self, name: str, open_: Callable[[str, int], Store], address: str) -> None:
        self.name = name
        self.address = address
        self._open = open_
        self._opened: list[Store] = []

    def open(self, embedder: WordEmbedder = EMBEDDER) -> Store:
        """The store for this embedder."""
        self._opened.append(self._open(embedder.id, embedder.dimensions))
        return self._opened[-1]

    def close(self) -> None:
        """Close what was opened."""
        for store in self._opened:
            store.close()


def open_at(name: str, address: str, embedder_id: str, dimensions: int) -> Store:
    """The store of this kind at this address."""
    if name == "postgres":
        return PostgresStore(address, embedder_id, dimensions)
    return EmbeddedStore(Path(address), embedder_id, dimensions, exact_up_to=0 if name == "sketched" else EXACT_UP_TO)


def document(
    identity: str, *texts: str, title: str = "Page", fingerprint: str = "1", embedder: WordEmbedder = EMBEDDER
) -> NewDocument:
    """A document with a passage for each text."""
    passages = [Passage(0, identity, title, ("Part",), language_of(text), text, 3, "http://x/y") for text in texts]
    words = [terms(text) for text in texts]
    vectors = embedder.embed(texts)
    return NewDocument(identity, identity, title, "en", fingerprint, passages, words, vectors, 12, 34.5)


def texts(store: Store, query: str, limit: int = 10, bases: Sequence[str] = (DEFAULT_BASE,)) -> list[str]:
    """The texts of the passages nearest to the query, the nearest first."""
    with store.snapshot(bases) as snapshot:
        near = [one for one, _ in snapshot.nearest(EMBEDDER.embed([query])[0], limit)]
        found = snapshot.passages(near)
        return [found[one].text for one in near]


def with_words(store: Store, *words: str, limit: int = 10, bases: Sequence[str] = (DEFAULT_BASE,)) -> list[str]:
    """The texts of the passages that hold any of the words, the best first."""
    with store.snapshot(bases) as snapshot:
        ids = snapshot.with_words(dict.fromkeys(words, 1.0), limit)
        found = snapshot.passages(ids)
        return [found[one].text for one in ids]


def write_for_ever(name: str, address: str) -> None:
    """Put ten documents into the store over and over, all at once, each time with other content; tell each round."""
    store = open_at(name, address, EMBEDDER.id, EMBEDDER.dimensions)
    # The vectors are made beforehand, so that nearly all of the time is spent writing.
    sample = document("sample", *(f"Passage {number} of a page." for number in range(WRITTEN_PASSAGES)))
    round_number = 0
    while True:
        round_number += 1
        words = [["page", f"round{round_number}"] for _ in sample.passages]
        changed = replace(sample, fingerprint=str(round_number), words=words)
        store.apply(DEFAULT_BASE, [replace(changed, identity=str(at)) for at in range(WRITTEN_DOCUMENTS)])
        print(round_number, flush=True)


if __name__ == "__main__":
    write_for_ever(*sys.argv[1:])
