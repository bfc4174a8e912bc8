"""Long texts in parts, by each measure that a platform has for its limit."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.platforms.lark.markup import json_bytes
from bot.platforms.slack.markup import units
from bot.text_parts import Size, split, utf8_bytes

LIMIT = 300
TEXTS = st.text(st.sampled_from('ab .。\n\t`~"\\#*é汉😀'), max_size=1_500)
by_each_size = pytest.mark.parametrize("size", [utf8_bytes, units, json_bytes])


@by_each_size
@settings(max_examples=150, deadline=None)
@given(TEXTS, st.integers(120, 400))
def test_each_part_fits_and_nothing_is_lost(size: Size, text: str, limit: int) -> None:
    """No part is above the limit or empty, and apart from blanks and fences they are the text."""
    parts = split(text, limit, size)
    assert all(0 < size(part) <= limit for part in parts)
    bare = re.compile(r"[\s`~]")
    assert not bare.sub("", "".join(parts)) or parts
    assert "".join(character for character in bare.sub("", "".join(parts)) if character in "汉😀é") == "".join(
        character for character in text if character in "汉😀é"
    )


@by_each_size
@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from('ab .。\n"\\#é汉😀'), max_size=1_500), st.integers(60, 400))
def test_a_text_without_code_comes_through_in_order(size: Size, text: str, limit: int) -> None:
    """Put together, the parts are the text but for its blanks."""
    assert "".join("".join(split(text, limit, size)).split()) == "".join(text.split())


@by_each_size
@settings(max_examples=100, deadline=None)
@given(TEXTS, st.integers(1, 1_500))
def test_a_growing_text_keeps_its_parts(size: Size, text: str, end: int) -> None:
    """What is cut off stays cut off at the same place when the text grows."""
    earlier, later = split(text[:end], 200, size), split(text, 200, size)
    assert later[: len(earlier) - 1] == earlier[:-1]


def test_a_text_is_cut_at_the_end_of_a_paragraph() -> None:
    """A paragraph is kept together where there is room for it, and the parts put together are the text."""
    paragraphs = ["字" * 50 for _ in range(5)]
    parts = split("\n\n".join(paragraphs), 350)
    assert parts == ["\n\n".join(paragraphs[:2]), "\n\n".join(paragraphs[2:4]), paragraphs[4]]


def test_a_line_comes_before_a_sentence_and_a_sentence_before_a_word() -> None:
    """The best border in reach is taken."""
    assert split("a" * 60 + "\n\n" + "b\nc. d e f " * 9, 120)[0] == "a" * 60
    assert split("a" * 60 + "\n" + "b. c d e f " * 9, 120)[0] == "a" * 60
    assert split("a" * 60 + "。" + "b c d e f " * 9, 120)[0] == "a" * 60 + "。"
    assert split("some words " * 20, 120)[0].endswith(("some", "words"))


@pytest.mark.parametrize("fence", ["```", "~~~", "````"])
def test_code_goes_on_as_code(fence: str) -> None:
    """A block of code that is cut is closed, and opened again in the same language."""
    code = "\n".join(f"line {number}" for number in range(100))
    parts = split(f"Look:\n\n{fence}python\n{code}\n{fence}\n\nThat is it.", LIMIT)
    assert len(parts) > 3
    assert all(part.count(fence) == 2 for part in parts)
    assert all(part.startswith(f"{fence}python\n") for part in parts[1:])
    assert [line for part in parts for line in part.splitlines() if line.startswith("line")] == code.splitlines()


def test_three_backticks_inside_longer_marks_do_not_end_the_code() -> None:
    """A block that shows Markdown is one block, whatever Markdown it shows."""
    shown = "\n".join(["```sh", "make", "```"] * 30)
    parts = split(f"````\n{shown}\n````", 200)
    assert len(parts) > 2
    assert all(part.startswith("````\n") and part.endswith("\n````") for part in parts)


@by_each_size
@pytest.mark.parametrize("letter", ["a", "汉", "😀", "é", '"'])
def test_a_text_without_a_place_to_cut_is_cut_all_the_same(size: Size, letter: str) -> None:
    """Even one endless word is shown whole, in parts."""
    parts = split(letter * 1_000, LIMIT, size)
    assert "".join(parts) == letter * 1_000
    assert all(size(part) <= LIMIT for part in parts)


def test_a_short_text_is_one_part_and_an_empty_one_has_none() -> None:
    """Nothing is done to what fits."""
    assert split("a b", 100) == ["a b"]
    assert split(" \n ", 100) == []
