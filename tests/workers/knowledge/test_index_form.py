"""An index that the release before wrote is opened by today's: `tests/data/index/` keeps one of each form."""

from __future__ import annotations

import gzip
import sqlite3
from pathlib import Path

import pytest

from config.environment import CHECKOUT
from tests.workers.knowledge.stores import EMBEDDER, document, texts, with_words
from workers.knowledge.base import DEFAULT_BASE
from workers.knowledge.stores.embedded import EmbeddedStore
from workers.knowledge.stores.sqlite_file import SCHEMA_VERSION

FOLDER = CHECKOUT / "tests" / "data" / "index"


def kept(version: int, folder: Path) -> Path:
    """The kept index of a form, unpacked."""
    path = folder / "index.sqlite3"
    path.write_bytes(gzip.decompress((FOLDER / f"form-{version}.sqlite3.gz").read_bytes()))
    return path


def form_of(path: Path) -> set[tuple[str, str]]:
    """The tables and indexes, as they were made; the number of the form."""
    with sqlite3.connect(path) as db:
        found = set(db.execute("SELECT name, coalesce(sql, '') FROM sqlite_master"))
        found.add(("user_version", str(db.execute("PRAGMA user_version").fetchone()[0])))
    db.close()
    return found


def make(path: Path) -> None:
    """An index as it is made today, in one file."""
    store = EmbeddedStore(path, EMBEDDER.id, EMBEDDER.dimensions)
    store.apply(
        DEFAULT_BASE, [document("tides", "The gauge is read every six minutes."), document("zh", "每六分钟读一次")]
    )
    store.close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode = DELETE")
    db.close()


# SCHEMA_VERSION - 1 joins the list when there is a form after the first that was released.
@pytest.mark.parametrize("version", [SCHEMA_VERSION])
def test_an_index_of_this_form_is_read_and_written(version: int, tmp_path: Path) -> None:
    """What the file of that release holds is found, and it can be added to."""
    store = EmbeddedStore(kept(version, tmp_path), EMBEDDER.id, EMBEDDER.dimensions)

    found = texts(store, "how often is the gauge read")
    store.apply(DEFAULT_BASE, [document("new", "A passage more.")])

    assert found[0] == "The gauge is read every six minutes."
    assert with_words(store, "more") == ["A passage more."]
    assert [one.passages for one in store.bases()] == [3]
    store.close()


def test_the_form_of_today_is_the_kept_one(tmp_path: Path) -> None:
    """Whoever changes a table raises the form's number, keeps the new form, and reads the one before."""
    made = tmp_path / "made.sqlite3"
    make(made)

    assert form_of(made) == form_of(kept(SCHEMA_VERSION, tmp_path)), "see docs/upgrading.md"
