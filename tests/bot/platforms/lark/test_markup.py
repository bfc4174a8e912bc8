"""Answers as cards."""

from __future__ import annotations

import json

from bot.platform import Reply
from bot.platforms.lark.markup import Face, card, faces, markdown
from contract.answer import Outcome
from tests.bot.conftest import make_question

CARD_BYTES_MAX = 30 * 1024


def test_what_lark_would_read_as_a_tag_is_shown_as_it_is() -> None:
    """Tags outside code are escaped, and comparisons and code are left alone; a picture becomes a link."""
    assert markdown("<at id=all></at> a < b") == "&#60;at id=all>&#60;/at> a < b"
    assert markdown("`<b>` <b> ``<i>``") == "`<b>` &#60;b> ``<i>``"
    assert markdown("```\n<b>\n```\n<b>") == "```\n<b>\n```\n&#60;b>"
    assert markdown("see ![a map](https://x.test/m.png) and ![](img_1)") == (
        "see [a map](https://x.test/m.png) and [img_1](img_1)"
    )


def test_a_growing_card_streams_and_an_ended_one_does_not() -> None:
    """Only a growing card is in streaming mode; the ended one has a summary, its sources and two buttons."""
    growing = card(Face("so far", growing=True))
    assert growing["config"]["streaming_mode"] is True
    ended = card(Face("All of it", sources="Sources:\n[1] x", feedback_on="q-1"))
    assert ended["config"]["streaming_mode"] is False
    assert ended["config"]["summary"] == {"content": "All of it"}
    values = [
        column["elements"][0]["behaviors"][0]["value"]
        for element in ended["body"]["elements"]
        for column in element.get("columns", [])
    ]
    assert values == [{"question": "q-1", "verdict": "good"}, {"question": "q-1", "verdict": "bad"}]


def test_only_an_answer_can_be_judged() -> None:
    """There are buttons below an answer, and none below what grows or failed."""
    question = make_question()

    def buttons(outcome: Outcome | None) -> str:
        return faces(Reply(question, "text", outcome=outcome))[-1].feedback_on

    assert buttons(Outcome.ANSWERED) == buttons(Outcome.NOT_FOUND) == question.id
    assert buttons(None) == buttons(Outcome.FAILED) == buttons(Outcome.BUSY) == ""


def test_a_long_answer_becomes_several_cards_of_which_each_is_small_enough() -> None:
    """No card is above 30 KB, whatever the language; the sources and the buttons stand in the last."""
    text = "\n\n".join(f"第{number}段：" + "很长的一段话。" * 60 for number in range(60))
    sources = "来源：\n" + "\n".join(f"[{number}] 手册 — {'目录/' * 40}" for number in range(40))
    wanted = faces(Reply(make_question(), text, sources=sources, outcome=Outcome.ANSWERED))
    assert len(wanted) > 3
    assert all(len(json.dumps(card(face), ensure_ascii=False).encode()) <= CARD_BYTES_MAX for face in wanted)
    assert [bool(face.feedback_on) for face in wanted] == [False] * (len(wanted) - 1) + [True]
    assert "[39]" in wanted[-1].whole
