"""The stores: what a base holds, that its changes are whole, and that bases and embedders do not mix."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from config.environment import CHECKOUT
from tests.workers.knowledge.stores import (
    EMBEDDER,
    WRITTEN_DOCUMENTS,
    WRITTEN_PASSAGES,
    StorePlace,
    document,
    texts,
    with_words,
)
from tests.workers.knowledge.word_embedder import WordEmbedder
from workers.knowledge.base import DEFAULT_BASE
from workers.knowledge.document import KnowledgeError
from workers.knowledge.store import FileState, NewDocument, Store


def test_what_is_put_is_found_with_all_that_it_has(place: StorePlace) -> None:
    """A passage comes back with its document's title, headings, page and URL; a document with its file's state."""
    store = place.open()
    store.apply(DEFAULT_BASE, [document("a.md", "The tide gauge is blue.", "潮位站是蓝色的。", title="Gauge")])
    with store.snapshot([DEFAULT_BASE]) as snapshot:
        assert snapshot.size == 2
        (near, similarity), *_ = snapshot.nearest(EMBEDDER.embed(["blue gauge tide"])[0], 1)
        found = snapshot.passages([near])[near]
    assert similarity == pytest.approx(1.0, abs=2e-3)
    assert (found.id, found.title, found.heading, found.page, found.url) == (near, "Gauge", ("Part",), 3, "http://x/y")
    assert (found.language, found.text) == ("en", "The tide gauge is blue.")
    (stored,) = store.documents(DEFAULT_BASE)
    assert (stored.identity, stored.passages, stored.size_bytes, stored.modified_at_s) == ("a.md", 2, 12, 34.5)
    assert abs(stored.added_at_s - time.time()) < 60


def test_one_step_adds_replaces_and_removes(place: StorePlace) -> None:
    """After a change the old passages are gone from everything that finds them, and the counts of words are right."""
    store, reader = place.open(), place.open()
    store.apply(DEFAULT_BASE, [document("a", "red boat", "red lamp"), document("b", "green boat")])
    assert len(texts(reader, "red")) == 3
    store.apply(DEFAULT_BASE, [document("a", "blue boat"), document("c", "white boat")], remove=["b", "never"])
    assert sorted(texts(reader, "boat")) == ["blue boat", "white boat"]
    assert with_words(reader, "red", "green", "lamp") == []
    with reader.snapshot([DEFAULT_BASE]) as snapshot:
        assert snapshot.frequencies(["red", "boat", "blue"]) == {"red": 0, "boat": 2, "blue": 1}
    assert [one.identity for one in store.documents(DEFAULT_BASE)] == ["a", "c"]
    (base,) = store.bases()
    assert (base.name, base.documents, base.passages) == (DEFAULT_BASE, 2, 2)


def test_a_touched_document_stays_as_it_is(place: StorePlace) -> None:
    """A file that was written anew with the same content costs no new generation."""
    store = place.open()
    store.apply(DEFAULT_BASE, [document("a", "red boat")])
    (before,) = store.bases()
    store.apply(DEFAULT_BASE, touch=[FileState("a", 99, 77.0), FileState("never", 1, 1.0)])
    (one,) = store.documents(DEFAULT_BASE)
    assert (one.size_bytes, one.modified_at_s, one.fingerprint) == (99, 77.0, "1")
    assert store.bases() == [before]


def test_a_change_whose_documents_fail_changes_nothing(place: StorePlace) -> None:
    """What raises while documents are read leaves the base as it was, and the store usable."""

    def documents() -> Iterator[NewDocument]:
        yield document("a", "blue boat")
        raise RuntimeError("the disk went away")

    store = place.open()
    store.apply(DEFAULT_BASE, [document("a", "red boat")])
    with pytest.raises(RuntimeError, match="the disk went away"):
        store.apply(DEFAULT_BASE, documents(), remove=["a"])
    assert texts(store, "boat") == ["red boat"]
    store.apply(DEFAULT_BASE, [document("a", "green boat")])
    assert texts(store, "boat") == ["green boat"]


def test_nothing_of_one_base_is_found_in_another(place: StorePlace) -> None:
    """Each search sees its bases alone: passages, words and counts; together they are one."""
    store = place.open()
    store.apply("public", [document("a", "red boat")])
    store.apply("secret", [document("a", "red lamp")])
    assert texts(store, "red lamp", bases=["public"]) == ["red boat"]
    assert with_words(store, "lamp", bases=["public"]) == []
    assert with_words(store, "red", bases=["secret"]) == ["red lamp"]
    assert sorted(texts(store, "red", bases=["public", "secret"])) == ["red boat", "red lamp"]
    assert sorted(with_words(store, "red", bases=["public", "secret"])) == ["red boat", "red lamp"]
    assert texts(store, "red", bases=["never", DEFAULT_BASE]) == []
    with store.snapshot(["public"]) as snapshot:
        others = range(1, 20)
        assert snapshot.frequencies(["lamp", "red"]) == {"lamp": 0, "red": 1}
        assert [one.text for one in snapshot.passages(others).values()] == ["red boat"]
        assert len(snapshot.words_of(others)) == len(snapshot.vectors(others)) == 1
    store.apply("secret", remove=["a"])
    assert texts(store, "red", bases=["public"]) == ["red boat"]


def test_a_base_is_removed_with_all_that_is_in_it(place: StorePlace) -> None:
    """A removed base is as one that never was, for running readers too; another one stays."""
    store, reader = place.open(), place.open()
    store.apply("one", [document("a", "red boat")])
    store.apply("two", [document("b", "red lamp")])
    assert len(texts(reader, "red", bases=["one", "two"])) == 2
    assert store.remove_base("one")
    assert not store.remove_base("one")
    assert texts(reader, "red", bases=["one", "two"]) == ["red lamp"]
    assert store.documents("one") == []
    store.apply("one", [document("c", "blue boat")])
    assert texts(reader, "boat", bases=["one"]) == ["blue boat"]


@pytest.mark.parametrize("name", ["", "a b", "a;drop", "x" * 65, "../x"])
def test_a_base_needs_a_name(place: StorePlace, name: str) -> None:
    """What is no name is refused in a sentence."""
    with pytest.raises(KnowledgeError, match="a knowledge base cannot be called"):
        place.open().apply(name, [document("a", "red boat")])


def test_a_snapshot_stays_as_it_was(place: StorePlace) -> None:
    """A search that has begun sees the old state to its end, whatever is written meanwhile."""
    store, writer = place.open(), place.open()
    store.apply(DEFAULT_BASE, [document("a", "red boat")])
    with store.snapshot([DEFAULT_BASE]) as snapshot:
        writer.apply(DEFAULT_BASE, [document("b", "red lamp")], remove=["a"])
        vector = EMBEDDER.embed(["red"])[0]
        (near,) = [one for one, _ in snapshot.nearest(vector, 10)]
        assert snapshot.passages([near])[near].text == "red boat"
        assert snapshot.with_words({"lamp": 1.0, "boat": 1.0}, 10) == [near]
        assert snapshot.words_of([near]) == {near: ["red", "boat"]}
    assert texts(store, "red") == ["red lamp"]


def test_another_embedders_vectors_are_refused_with_the_command_that_rebuilds_them(place: StorePlace) -> None:
    """Vectors of two embedders never meet: reading and writing are refused until the index is rebuilt."""
    old, other = place.open(), WordEmbedder("other", 32)
    old.apply("one", [document("a", "red boat")])
    old.apply("two", [document("b", "red lamp", "blue lamp")])
    new = place.open(other)
    for act in (
        new.check_embedder,
        lambda: texts(new, "red"),
        lambda: new.apply("one", [document("c", "x", embedder=other)]),
    ):
        with pytest.raises(KnowledgeError, match=r"holds vectors of the embedder words .* run `fennel kb rebuild`"):
            act()
    told: list[tuple[int, int]] = []
    embed = lambda passages: other.embed([one.text for one in passages])  # noqa: E731
    assert new.rebuild(embed, lambda done, whole: told.append((done, whole))) == 3
    assert told[-1] == (3, 3)
    with new.snapshot(["one", "two"]) as snapshot:
        (near, similarity), *_ = snapshot.nearest(other.embed(["blue lamp"])[0], 5)
        assert snapshot.passages([near])[near].text == "blue lamp"
        assert similarity == pytest.approx(1.0, abs=2e-3)
        assert snapshot.size == 3
    with pytest.raises(KnowledgeError, match="holds vectors of the embedder other"):
        texts(old, "red")


def test_a_rebuild_with_the_same_embedder_is_seen_by_readers(place: StorePlace) -> None:
    """After a rebuild a running reader has each passage once, with its new vector."""
    reader, writer = place.open(), place.open()
    writer.apply(DEFAULT_BASE, [document("a", "one", "two")])
    assert len(texts(reader, "one")) == 2
    turned = EMBEDDER.embed(["three"])[0]
    writer.rebuild(lambda passages: np.stack([turned] * len(passages)), lambda done, whole: None)
    with reader.snapshot([DEFAULT_BASE]) as snapshot:
        near = snapshot.nearest(turned, 10)
    assert [round(value, 2) for _, value in near] == [1.0, 1.0]


def test_a_passage_that_came_during_a_rebuild_is_not_left_without_a_vector(place: StorePlace) -> None:
    """The rebuild is given up with words, and nothing has changed."""
    store = place.open()
    store.apply(DEFAULT_BASE, [document("a", "one")])

    def embed(passages: object) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        store.apply(DEFAULT_BASE, [document("b", "two")])
        return EMBEDDER.embed(["nothing"])

    with pytest.raises(KnowledgeError, match="1 passages were added meanwhile: run it again"):
        place.open().rebuild(embed, lambda done, whole: None)
    assert sorted(texts(store, "one")) == ["one", "two"]


def test_any_word_is_only_a_word(place: StorePlace) -> None:
    """What means something in a search language or in SQL is looked for as it stands."""
    store = place.open()
    odd = ['x"y', "it's", "a-b.c:d", "OR", "NEAR(", "*", "100%", "😀", "\\", "潮位", "a" * 3000]
    store.apply(DEFAULT_BASE, [document("a", *(f"word{at}" for at in range(len(odd))))])
    store.apply(DEFAULT_BASE, [replace(document("b", *odd), words=[[one] for one in odd])])
    for word in odd:
        found = with_words(store, word)
        assert found == [word] or word in ('x"y', "*", "NEAR(", "\\", "😀"), word
    with store.snapshot([DEFAULT_BASE]) as snapshot:
        assert set(snapshot.frequencies(odd).values()) == {1}


def test_many_threads_search_while_one_writes(place: StorePlace) -> None:
    """No search fails or finds half of a document while documents come and go."""
    store, writer = place.open(), place.open()
    writer.apply(DEFAULT_BASE, [document("always", "The lighthouse stands.")])
    stop = threading.Event()
    failures: list[str] = []

    def search() -> None:
        try:
            while not stop.is_set():
                found = texts(store, "lighthouse stands", 50)
                if found.count("The lighthouse stands.") != 1 or len(found) not in (1, 3):
                    failures.append(str(found))
        except Exception as error:
            failures.append(repr(error))

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(20):
        writer.apply(DEFAULT_BASE, [document("pair", f"Lighthouse {number}.", f"Stands {number}.")])
        if number % 3 == 2:
            writer.apply(DEFAULT_BASE, remove=["pair"])
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_writer_killed_at_any_moment_leaves_the_old_state_or_the_new(place: StorePlace) -> None:
    """After SIGKILL in the middle of a change, all documents are of one round and whole, and adding goes on."""
    seed = int.from_bytes(os.urandom(4))
    moments = random.Random(seed)
    store = place.open()
    for _ in range(4):
        command = [sys.executable, "-m", "tests.workers.knowledge.stores", place.name, place.address]
        child = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE)
        assert child.stdout is not None
        assert child.stdout.readline()
        time.sleep(moments.uniform(0, 0.1))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        _check_round(store, seed)
    store.apply(DEFAULT_BASE, [document("last", "The lighthouse.")])
    assert texts(store, "lighthouse", 1) == ["The lighthouse."]


def _check_round(store: Store, seed: int) -> None:
    documents = store.documents(DEFAULT_BASE)
    whole = WRITTEN_DOCUMENTS * WRITTEN_PASSAGES
    assert [one.passages for one in documents] == [WRITTEN_PASSAGES] * WRITTEN_DOCUMENTS, seed
    (round_number,) = {one.fingerprint for one in documents}
    with store.snapshot([DEFAULT_BASE]) as snapshot:
        near = [one for one, _ in snapshot.nearest(EMBEDDER.embed(["page"])[0], 2 * whole)]
        assert len(near) == snapshot.size == whole, seed
        words = snapshot.words_of(near)
        assert {word for said in words.values() for word in said} == {"page", f"round{round_number}"}, seed
        assert snapshot.frequencies(["page"]) == {"page": whole}, seed
        assert len(snapshot.with_words({"page": 1.0}, 2 * whole)) == whole, seed
