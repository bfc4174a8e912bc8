"""The page's words, and an answer's Markdown."""

from __future__ import annotations

import string

import pytest

from bot.platforms.web.markdown import AnswerMarkdown
from bot.platforms.web.words import LANGUAGES, wanted_language, words_of


def fields(sentence: str) -> set[str]:
    """The names in braces."""
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


def test_every_language_has_every_word() -> None:
    """The same keys with the same fields, and nothing empty."""
    first = words_of(LANGUAGES[0])
    for language in LANGUAGES[1:]:
        assert {key: fields(words) for key, words in words_of(language).items()} == {
            key: fields(words) for key, words in first.items()
        }
        assert all(words_of(language).values())


def test_the_choice_wins_over_the_browser() -> None:
    """A language that there is not is passed over."""
    assert wanted_language("zh", "en") == "zh"
    assert wanted_language("xx", "fr-FR, zh-TW;q=0.5") == "zh"
    assert wanted_language("", "fr") == "en"


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a *b*", "<p>a <em>b</em></p>"),
        ("a\nb", "<p>a<br />\nb</p>"),
        ("<b>x</b>", "<p>&lt;b&gt;x&lt;/b&gt;</p>"),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>"),
        ("[x](data:text/html,hi)", "<p>[x](data:text/html,hi)</p>"),
        ("[x](/leave)", "<p>[x](/leave)</p>"),
        (
            "[x]( https://a.example )",
            '<p><a href="https://a.example" target="_blank" rel="noreferrer noopener">x</a></p>',
        ),
        ("<javascript:alert(1)>", "<p>&lt;javascript:alert(1)&gt;</p>"),
        (
            '[x](https://a.example/"onclick="alert)',
            '<p><a href="https://a.example/%22onclick=%22alert" target="_blank" rel="noreferrer noopener">x</a></p>',
        ),
    ],
)
def test_markdown_is_shown_and_does_nothing(text: str, html: str) -> None:
    """Emphasis and links to web pages; anything else that could act stays letters."""
    assert AnswerMarkdown().html(text).strip() == html


def test_a_picture_is_not_fetched() -> None:
    """What a document shows from elsewhere would tell that place who reads here."""
    assert "<img" not in AnswerMarkdown().html("![map](https://evil.example/map.png)")
