"""Inputs as hypothesis draws them: a good one, and a few edits that it can take away again to show the smallest."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from tests.fuzz.edits import ODD_BYTES, ODD_VALUES, ByteEdit, TreeEdit, apply

_places = st.integers(0, 2**20)
_values = st.recursive(
    st.sampled_from(ODD_VALUES) | st.text(max_size=20) | st.integers() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
_pieces = st.sampled_from(ODD_BYTES) | st.binary(max_size=16)
_edits = st.builds(TreeEdit, _places, _values) | st.builds(ByteEdit, _places, st.integers(0, 64), _pieces)


def inputs(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Mostly edited seeds; now and then bytes of no origin."""
    edited = st.builds(apply, st.sampled_from(seeds), st.lists(_edits, min_size=1, max_size=4))
    return st.one_of(edited, edited, edited, st.binary(max_size=200))
