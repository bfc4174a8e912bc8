"""Rows as Gradio's plots want them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame


def frame(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> DataFrame:
    """A table with these columns, also where it has no rows."""
    from pandas import DataFrame

    return DataFrame(list(rows), columns=list(columns))
