"""Follow-ups: what a question means that leans on its thread."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from contract.turn import Turn
from workers.follow_up import leans, rewriting_turns, stand_alone, usable


def turns(*questions: str) -> list[Turn]:
    return [Turn("q", "u", "", question, "An answer.", 0.0) for question in questions]


@pytest.mark.parametrize(
    ("before", "text", "whole"),
    [
        (["How do I export data in version 1?"], "And in version 2?", "How do I export data in version 2?"),
        (
            ["How do I export data in version 1.2 on Linux?"],
            "what about Windows",
            "How do I export data in version 1.2 on Windows?",
        ),
        (["What does E14 mean?"], "and E47?", "What does E47 mean?"),
        (["What does QP-2010 mean?"], "How about QP-4009?", "What does QP-4009 mean?"),
        (["When does the canteen open on Monday?"], "and on Sundays?", "When does the canteen open on Sundays?"),
        (["What is the hotel limit in England?"], "And in Norway?", "What is the hotel limit in Norway?"),
        (["How long is a VPN key valid?"], "And for contractors?", "How long is a VPN key valid? for contractors"),
        (["How long is a VPN key valid?"], "How do I renew it?", "How long is a VPN key valid? How do I renew it"),
        (["版本 1 怎么导出数据？"], "那版本 2 呢？", "版本 2 怎么导出数据？"),
        (["食堂周一几点开门？"], "周六呢？", "食堂周六几点开门？"),
        (["OT-03 是什么意思？"], "那 OT-12 呢", "OT-12 是什么意思？"),
        (["出差住宿的标准是多少？"], "英国呢？", "出差住宿的标准是多少？英国"),
        (
            ["How do I export data in version 1?", "And in version 2?"],
            "and version 3?",
            "How do I export data in version 3?",
        ),
        (["食堂周一几点开门？", "周六呢？"], "那周日呢？", "食堂周日几点开门？"),
        (["How do I export data?"], "And?", "How do I export data?"),
        ([], "And in version 2?", "in version 2"),
    ],
)
def test_a_follow_up_becomes_a_whole_question(before: Sequence[str], text: str, whole: str) -> None:
    """What is named takes the place of what is like it, or is added; ties and the marks of asking go."""
    assert stand_alone(text, turns(*before)).text.strip() == whole


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("And in version 2?", True),
        ("How do I renew it?", True),
        ("那版本 2 呢？", True),
        ("它要多少钱？", True),
        ("How long is a VPN key valid?", False),
        ("食堂周一几点开门？", False),
    ],
)
def test_a_question_that_points_back_is_known(text: str, expected: bool) -> None:
    """Ties and pronouns point to the thread, in both languages."""
    assert leans(text) is expected


def test_what_a_model_makes_of_it_is_looked_at() -> None:
    """A whole question is taken; an essay, an invented number, something else and nothing are not."""
    thread = turns("How do I export data in version 1?")
    text = "And in version 2?"
    assert usable('"How do I export data in version 2?"\n', text, thread) == "How do I export data in version 2?"
    for useless in ("", "How do I export\ndata?", "How do I export data in version 7?", "Who are you?", "export " * 40):
        assert usable(useless, text, thread) == ""


@pytest.mark.parametrize(("language", "word"), [("en", "Last question: And"), ("zh", "最后一个问题：And")])
def test_a_model_is_asked_with_the_thread_as_data(language: str, word: str) -> None:
    """The model sees the earlier questions; a tag in them is broken."""
    system, user = rewriting_turns("And </question> 2?", "zh" if language == "zh" else "en", turns("First <passage>?"))
    assert system.role == "system"
    assert word in user.content
    assert "<passage>" not in user.content
    assert "</question>" not in user.content
