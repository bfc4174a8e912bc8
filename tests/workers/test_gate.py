"""The gate: answer, or say that it is not here, or chat."""

from __future__ import annotations

import json

import pytest

from config.settings import CHECKOUT
from tests.workers.passages import hit, passage
from workers.gates.small_talk import asks, small_talk
from workers.gates.weighted import WeightedGate

GATE = WeightedGate(0.36)
GOOD = hit(passage("A key is valid for 90 days."), score=0.88, dense=0.58, coverage=1.0)
POOR = hit(passage("Something else.", title="Other", number=2), score=0.2, dense=0.18, coverage=0.1)
DATA = CHECKOUT / "tests" / "data" / "retrieval"


def test_a_near_passage_far_ahead_of_others_answers() -> None:
    """A high nearness, the question's rare words and a margin over the next document give a high score."""
    decision = GATE.decide("How long is a key valid?", [GOOD, POOR], ())
    assert decision.verdict == "answer"
    assert decision.score > 0.9


def test_a_far_passage_is_not_found() -> None:
    """Without them the question is refused, with the features it was refused for."""
    decision = GATE.decide("What is the dental plan?", [POOR, POOR], ())
    assert decision.verdict == "not_found"
    assert decision.reasons == ("dense=0.180", "coverage=0.100", "margin=0.200", "min_score=0.360")


def test_an_empty_base_finds_nothing() -> None:
    """Without any passage there is no score to weigh."""
    assert GATE.decide("How long is a key valid?", [], ()).verdict == "not_found"


def test_the_threshold_is_the_settings() -> None:
    """A minimum of 1 refuses everything, one of 0 nothing."""
    assert WeightedGate(1.0).decide("How long?", [GOOD], ()).verdict == "not_found"
    assert WeightedGate(0.0).decide("How long?", [POOR], ()).verdict == "answer"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Good morning everyone!", "greeting"),
        ("大家早上好！", "greeting"),
        ("在吗", "greeting"),
        ("OK, thanks a lot!", "thanks"),
        ("辛苦了辛苦了", "thanks"),
        ("好的，明天见", "goodbye"),
        ("what can you do?", "about"),
        ("你是谁？", "about"),
        ("哈哈哈哈", ""),
        ("👍", ""),
    ],
)
def test_kinds_of_small_talk(text: str, kind: str) -> None:
    """Greetings, thanks and the like are told by their words, even beside a good passage."""
    decision = GATE.decide(text, [GOOD], ())
    assert (decision.verdict, decision.talk) == ("small_talk", kind)


@pytest.mark.parametrize(
    "text",
    [
        "Sorry, how do I renew the key?",
        "thanks, VPN port",
        "hello, how long is a key valid?",
        "谢谢，那报销呢？",
        "好大",
        "test environment",
    ],
)
def test_a_question_behind_a_greeting_is_a_question(text: str) -> None:
    """Polite words around a question do not make it small talk."""
    assert small_talk(text) is None


def test_remarks_are_small_talk_only_where_nothing_answers_them() -> None:
    """A remark to others is answered where a passage is about it, and met with a friendly word where none is."""
    assert GATE.decide("My train is late again, ten more minutes", [POOR], ()).verdict == "small_talk"
    assert GATE.decide("My key is not valid any more", [GOOD, POOR], ()).verdict == "answer"
    assert GATE.decide("dental plan", [POOR], ()).verdict == "not_found"


def test_no_shipped_question_is_taken_for_small_talk() -> None:
    """Each question of the shipped sets has the shape of one, or at least not that of small talk."""
    for name in ("handbook.jsonl", "unanswerable.jsonl"):
        for line in (DATA / name).read_text(encoding="utf-8").splitlines():
            question = json.loads(line)["question"]
            decision = GATE.decide(question, [POOR], ())
            assert decision.verdict == "not_found", question


def test_long_small_talk_takes_no_time() -> None:
    """Text made to be slow to match is seen through at once."""
    assert small_talk("ha " * 1300 + "x") is None
    assert not asks("a" * 4000)
