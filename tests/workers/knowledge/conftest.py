"""A place for each kind of store."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.workers.knowledge.stores import StorePlace, open_at


@pytest.fixture(params=["embedded", "sketched"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StorePlace]:
    """An empty place for a store, of each kind."""
    address = str(tmp_path / "kb" / "index.sqlite3")
    place = StorePlace(request.param, partial(open_at, request.param, address), address)
    yield place
    place.close()
