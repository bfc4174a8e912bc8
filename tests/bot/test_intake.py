"""Which chat messages become questions, which are refused, and which are none of our business."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.chat_message import ChatMessage
from bot.intake import Facts, Intake, IntakeLimits, Refusal, Silence
from bot.plain_text import clean, language_of
from contract.question import MAX_QUESTION_CHARACTERS, Question
from tests.bot.conftest import make_message

NOW_S = 1_800_000_000.0
INTAKE = Intake(IntakeLimits(answer_ttl_s=600))


def message(**fields: Any) -> ChatMessage:
    """A mention in a group, just now."""
    return make_message(**({"at_s": NOW_S - 1} | fields))


@pytest.mark.parametrize(
    ("fields", "thread_is_ours", "expected"),
    [
        pytest.param({}, False, "question", id="mention"),
        pytest.param({"mentions_us": False, "is_direct": True}, False, "question", id="direct"),
        pytest.param({"mentions_us": False}, True, "question", id="follow-up in our thread"),
        pytest.param({"mentions_us": False}, False, "silence not_for_us", id="people among themselves"),
        pytest.param({"from_bot": True}, False, "silence from_a_bot", id="a bot"),
        pytest.param({"from_bot": True, "text": ""}, True, "silence from_a_bot", id="a bot in our thread"),
        pytest.param({"text": " \n"}, False, "refused empty", id="mention alone"),
        pytest.param({"text": "\u200b\u2060"}, False, "refused empty", id="nothing that is seen"),
        pytest.param({"text": "", "mentions_us": False}, True, "silence empty", id="a picture in our thread"),
        pytest.param({"text": "x" * MAX_QUESTION_CHARACTERS}, False, "question", id="as long as it may be"),
        pytest.param({"text": "x" * (MAX_QUESTION_CHARACTERS + 1)}, False, "refused too_long", id="too long"),
        pytest.param(
            {"text": "x" * 100_000, "mentions_us": False}, False, "silence not_for_us", id="a novel for others"
        ),
        pytest.param({"at_s": NOW_S - 599}, False, "question", id="old, in time"),
        pytest.param({"at_s": NOW_S - 601}, False, "refused too_old", id="too old"),
        pytest.param({"at_s": NOW_S - 3_601}, False, "silence forgotten", id="hours old"),
        pytest.param({"at_s": NOW_S + 500}, False, "question", id="from the future"),
    ],
)
def test_what_becomes_of_a_message(fields: dict[str, Any], thread_is_ours: bool, expected: str) -> None:
    """Each message is asked, refused with a reason, or passed over with one."""
    decision = INTAKE.decide(message(**fields), Facts(NOW_S, thread_is_ours))
    if isinstance(decision, Silence):
        assert expected == f"silence {decision.reason}"
    elif isinstance(decision, Refusal):
        assert expected == f"refused {decision.reason}"
    else:
        assert expected == "question"


def test_a_question_says_all_that_the_message_said() -> None:
    """The question keeps who asked what, where and when, and the platform's address."""
    question = INTAKE.decide(message(address={"a": "b"}, text="  几天\r\n年假？ "), Facts(NOW_S))
    assert isinstance(question, Question)
    assert (question.text, question.language) == ("几天\n年假？", "zh")
    assert (question.asked_at_s, question.accepted_at_s) == (NOW_S - 1, NOW_S)
    assert question.address == {"a": "b"}
    assert (question.asker, question.asker_name, question.thread) == ("u-ann", "Ann", "general")


def test_a_question_is_not_asked_in_the_future() -> None:
    """A platform's clock that runs ahead does not put a question behind those that come after it."""
    question = INTAKE.decide(message(at_s=NOW_S + 500), Facts(NOW_S))
    assert isinstance(question, Question)
    assert question.asked_at_s == NOW_S


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\x00b\x1b[31mc", "ab[31mc"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("turned \u202eround", "turned round"),
        ("lone \ud800 surrogate", "lone \N{REPLACEMENT CHARACTER} surrogate"),
        ("a\r\nb\u2028c\td", "a\nb\nc\td"),
        ("tag\U000e0041s", "tags"),
        ("fine 好 é 😀", "fine 好 é 😀"),
    ],
)
def test_what_nobody_sees_is_taken_out(text: str, expected: str) -> None:
    """Control characters, zero-width tricks and lone surrogates do not get through."""
    assert clean(text) == expected


@given(st.text(alphabet=st.characters(codec=None)))
def test_clean_text_can_always_be_written(text: str) -> None:
    """Whatever comes in, the clean text is UTF-8, and cleaning it again changes nothing."""
    tidy = clean(text)
    tidy.encode()
    assert clean(tidy) == tidy


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("How many days off?", "en"),
        ("年假有几天？", "zh"),
        ("VPN 怎么连？", "zh"),
        ("What does 报销 mean in our handbook?", "en"),
        ("12345", "en"),
        ("", "en"),
    ],
)
def test_the_language_is_the_one_that_outweighs(text: str, language: str) -> None:
    """Chinese characters are weighed against Latin words."""
    assert language_of(text) == language
