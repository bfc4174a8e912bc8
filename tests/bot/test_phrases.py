"""Every fixed sentence, in every language, and what is safe to show."""

from __future__ import annotations

import re
import string

import pytest

from bot import rendering
from bot.intake import FILTERS
from bot.phrases import LANGUAGES, phrase, phrases_of
from contract.answer import Citation, FinalAnswer, Outcome
from tests.bot.conftest import make_question


def fields_of(template: str) -> set[str]:
    """The names in braces."""
    return {name for _text, name, _spec, _conversion in string.Formatter().parse(template) if name is not None}


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_has_the_same_sentences(language: str) -> None:
    """The keys and the fields of each sentence agree with English."""
    english, other = phrases_of("en"), phrases_of(language)
    assert set(other) == set(english)
    assert {key: fields_of(text) for key, text in other.items()} == {
        key: fields_of(text) for key, text in english.items()
    }


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.ANSWERED])
def test_each_outcome_is_said(outcome: Outcome, language: str) -> None:
    """Nobody who asked is met with silence, whatever came of it."""
    question = make_question(language=language)
    reply = rendering.ended(question, FinalAnswer(question.to_wire(), outcome))
    assert reply.text
    assert reply.outcome is outcome


@pytest.mark.parametrize("reason", ["empty", "too_long", "too_old"])
def test_each_refusal_is_said_in_its_own_words(reason: str) -> None:
    """The asker learns why a message is refused."""
    assert FILTERS
    question = make_question()
    told = rendering.sentence(question, Outcome.REFUSED, reason)
    assert told == phrase("en", f"refused_{reason}", limit=4000)
    assert told != phrase("en", "refused")


def test_an_unknown_reason_is_said_in_general() -> None:
    """A reason without a sentence of its own falls back on its outcome's, and a failure names its id."""
    question = make_question()
    told = rendering.sentence(question, Outcome.FAILED, "engine {id} broke")
    assert question.id in told
    assert "{" not in told


def test_text_is_never_a_format_string() -> None:
    """Braces and percent signs in an answer are shown as they are."""
    question = make_question()
    text = "{id} %s {0.__class__} {{x}}"
    assert rendering.ended(question, FinalAnswer(question.to_wire(), Outcome.ANSWERED, text)).text == text
    assert phrase("en", "failed", id=text).endswith(text)


@pytest.mark.parametrize(
    "text",
    [
        "@all",
        "@ALL hands",
        "@everyone",
        "@here",
        "@channel",
        "@所有人",
        "@全体成员",
        "@\u200ball",
        "<!channel>",
        "<!here|here>",
        "<!subteam^S1>",
        "<@U123>",
        '<at user_id="all">',
        "<AT id=all></at>",
        "< @all>",
        "x@everyone",
    ],
)
def test_an_answer_calls_nobody(text: str) -> None:
    """No form of a mention in an answer, its growing text or its sources survives."""
    question = make_question()
    final = FinalAnswer(question.to_wire(), Outcome.ANSWERED, f"see {text}", (Citation(text, text, text),))
    for reply in (rendering.ended(question, final), rendering.growing(question, text)):
        assert not re.search("<[!@]|< @|<at|@(all|every|here|channel|所有人|全体)", reply.whole, re.IGNORECASE)


def test_harmless_text_stays() -> None:
    """Addresses, comparisons and Markdown are not touched."""
    text = "Write to ops@example.com if 1 < 2, **now** <b>or</b> never."
    assert rendering.safe(text) == text


def test_sources_are_numbered_below_the_answer() -> None:
    """Each source has a line with its number, title and place; a title that spreads over lines is one line."""
    question = make_question(language="zh")
    citations = (Citation("年假\n规定", "hr/leave.md", "…"), Citation("a.md", "a.md", "…"))
    reply = rendering.ended(question, FinalAnswer(question.to_wire(), Outcome.ANSWERED, "30 天", citations))
    assert reply.whole == "30 天\n\n来源：\n[1] 年假 规定 — hr/leave.md\n[2] a.md"


def test_an_answer_without_a_word_is_a_failure() -> None:
    """An empty answer is not shown as one."""
    question = make_question()
    reply = rendering.ended(question, FinalAnswer(question.to_wire(), Outcome.ANSWERED, " \x00"))
    assert reply.outcome is Outcome.FAILED
