"""Words: what counts as the same in English, in Chinese and in codes."""

from __future__ import annotations

import pytest

from workers.knowledge.words import content_terms, language_of, size_words, terms


def test_identifiers_count_whole_and_in_parts() -> None:
    """A host name, a header and a code are found by all of it or by a part."""
    found = terms("ingest-03.internal sends X-Tide-Retry-After at E14")
    assert {"ingest-03.internal", "ingest", "03", "internal", "x-tide-retry-after", "retry", "e14"} <= set(found)


def test_chinese_counts_in_pairs() -> None:
    """A run of Chinese counts as its overlapping pairs, a lone character as itself."""
    assert terms("潮位站") == ["潮位", "位站"]
    assert terms("潮 a") == ["潮", "a"]


def test_writing_makes_no_difference() -> None:
    """Full-width digits, thousands marks, capitals and plurals are the same word."""
    assert terms("１,０００ Days") == terms("1000 day")


@pytest.mark.parametrize(
    ("question", "kept"),
    [
        ("How long does a VPN key last?", ["vpn", "key", "last"]),
        ("报销需要多久？", ["报销"]),
        ("What is it?", []),
    ],
)
def test_words_of_asking_say_nothing(question: str, kept: list[str]) -> None:
    """Stop words of both languages are no content."""
    assert content_terms(question) == kept


def test_language_is_that_of_most_of_the_text() -> None:
    """Names and commands in a Chinese text leave it Chinese."""
    assert language_of("在 `#alerts` 里运行 amute 命令，然后等待结果") == "zh"
    assert language_of("The word 潮 means tide") == "en"
    assert size_words("潮位 is 3 m") == 5
