"""Text comes out of tokens whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.engine.tiny_models import make_tokenizer
from workers.engine.local.text import TextStream

TOKENIZER = make_tokenizer()
# Whatever Unicode has but halves of pairs.
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def stream(tokens: list[int]) -> list[str]:
    text = TextStream(TOKENIZER.backend_tokenizer)
    return [*(text.push(token) for token in tokens), text.finish()]


def tokens_of(text: str) -> list[int]:
    tokens: list[int] = TOKENIZER(text, add_special_tokens=False).input_ids
    return tokens


@given(TEXT)
def test_the_pieces_make_the_text(text: str) -> None:
    """The pieces of any text, joined, are the text, although each token is a single byte."""
    assert "".join(stream(tokens_of(text))) == text.rstrip("\ufffd")


@given(TEXT)
def test_no_piece_holds_half_a_character(text: str) -> None:
    """No piece holds a replacement for a byte that lacks the rest of its character."""
    if "\ufffd" not in text:
        assert not [piece for piece in stream(tokens_of(text)) if "\ufffd" in piece]


def test_an_unfinished_character_is_left_out() -> None:
    """When an answer ends in the middle of a character, its text ends before it."""
    assert "".join(stream(tokens_of("你好")[:-1])) == "你"


def test_bytes_that_are_no_text_do_not_hold_it_up() -> None:
    """Bytes that never become a character come out as replacements, and what follows as itself."""
    broken = tokens_of("é")[:1]
    pieces = stream([*broken * 20, *tokens_of("then text")])
    assert "".join(pieces).endswith("then text")
    assert "\ufffd" in "".join(pieces)
    assert any(pieces[:12])


@pytest.mark.parametrize("special", [256, 257, 258])
def test_special_tokens_give_no_text(special: int) -> None:
    """A special token within an answer leaves no trace and swallows no text."""
    tokens = tokens_of("before")
    assert "".join(stream([*tokens, special, *tokens_of(" after é")])) == "before after é"
