"""Grounding: an answer says what its passages say, or gives way to their own words."""

from __future__ import annotations

import pytest

from tests.workers.passages import ShelfRetriever, passage
from workers.capability import Capability, capability_of
from workers.evidence import rank
from workers.grounding import Grounding, loops, pieces
from workers.knowledge.passage import Passage

QUOTA = passage(
    "Beyond the quota the API answers with status 429. An expired token gives status 401. "
    "Ask Marta Lindqvist for a larger quota.",
    title="Quotas",
)
HOLIDAYS = passage("Everyone has 26 days of holiday.", title="Holidays", number=2)
QUESTION = "Which status does the API answer beyond the quota?"
ABLE = capability_of("some/able-model")
SMALL = capability_of("smollm2-135m")


def grounding(capability: Capability, *passages: Passage, question: str = QUESTION) -> Grounding:
    retriever = ShelfRetriever(passages or [QUOTA, HOLIDAYS])
    return Grounding(question, rank(question, retriever.search(question, 4), retriever), capability)


def finished(answer: str, capability: Capability = ABLE, *, question: str = QUESTION) -> tuple[str, list[str]]:
    judged = grounding(capability, question=question)
    judged.take(answer, ended=True)
    text, citations = judged.finish()
    return text, [citation.source for citation in citations]


BEST = "> Beyond the quota the API answers with status 429."


def test_an_answer_that_stands_in_a_passage_stays_and_cites_it() -> None:
    """The model's own words stay where every number and name in them stands in one passage, which is cited."""
    assert finished("It answers with status 429.") == ("It answers with status 429.", ["docs/quotas.md"])


@pytest.mark.parametrize(
    "answer",
    [
        "It answers with status 500.",
        "It answers with HTTP 429.",
        "Steve Jobs answers it.",
        "Status 429 comes after 26 days.",  # each stands in a passage, but not in the same one
        'It says "go away".',
        "",
        "   \n",
        "429 429 429 429 429 429 429 429",
        "Question: Which status does the API answer?",
        '<passage 1 title="Quotas">',
    ],
)
def test_an_answer_that_does_not_gives_way_to_the_passage(answer: str) -> None:
    """A wrong number, a made-up name, mixed facts, a loop, a copied prompt and nothing are quoted over."""
    text, sources = finished(answer)
    assert text.startswith(BEST)
    assert sources == ["docs/quotas.md"]


def test_the_sentences_before_the_first_wrong_one_stay_and_the_quote_follows() -> None:
    """What was right is kept, what comes behind the wrong sentence is not, and the best sentence is added."""
    text, _ = finished("Ask Marta Lindqvist. Or wait 99 days. Everyone has 26 days.")
    assert text == f"Ask Marta Lindqvist.\n\n{BEST}"


def test_nothing_is_quoted_that_the_answer_has_said() -> None:
    """A wrong afterthought costs only itself."""
    text, _ = finished("Beyond the quota the API answers with status 429. That is since 1999.")
    assert text == "Beyond the quota the API answers with status 429."


def test_text_that_is_shown_is_never_taken_back() -> None:
    """However the answer grows, what stays of it only ever grows too, and holds no sentence that is not whole."""
    answer = "It answers with status 429. Ask Marta Lindqvist for more. It costs 12 pounds."
    judged = grounding(ABLE)
    shown = [""]
    for end in range(len(answer)):
        judged.take(answer[:end], ended=False)
        assert judged.text.startswith(shown[-1])
        assert "12" not in judged.text
        shown.append(judged.text)
    judged.take(answer, ended=True)
    text, _ = judged.finish()
    assert text.startswith(shown[-1])
    assert set(shown) == {
        "",
        "It answers with status 429.",
        "It answers with status 429. Ask Marta Lindqvist for more.",
    }


def test_a_careless_model_may_not_take_the_other_number() -> None:
    """A small model's answer with a number of the right passage but the wrong sentence is quoted over."""
    assert finished("Beyond the quota the API answers with status 401.", ABLE)[0].endswith("401.")
    assert finished("Beyond the quota the API answers with status 401.", SMALL)[0] == BEST
    assert finished("Beyond the quota the API answers with status 429.", SMALL)[0].endswith("status 429.")


@pytest.mark.parametrize(
    "answer",
    [
        "The API answers beyond the quota.",  # the question again
        "The answer is 429.",  # of what?
        "The API answers in a friendly and helpful way, as soon as possible.",
        "The API answers with status:",
    ],
)
def test_a_careless_model_has_to_say_what_the_best_sentence_says(answer: str) -> None:
    """An echo of the question, a bare number, words of its own and an open end are quoted over."""
    assert finished(answer, SMALL)[0] == BEST


def test_marks_of_passages_in_an_answer_are_no_numbers() -> None:
    """The "[1]" that models put behind a sentence is dropped, and so is an "Answer:" before it."""
    assert finished("Answer: It answers with status 429 [1].")[0] == "It answers with status 429."


def test_the_row_that_answers_is_quoted_with_its_columns() -> None:
    """Out of a table comes one readable row, and the citation holds the row as it stands."""
    table = passage(
        "| Plan | A day | A minute |\n| --- | --- | --- |\n| Paddle | 1,000 | 10 |\n| Coast | 500,000 | 1,200 |"
    )
    judged = grounding(SMALL, table, question="How many requests a day does the Coast plan allow?")
    text, (citation,) = judged.quote()
    assert text == "> Coast: A day 500,000, A minute 1,200"
    assert citation.quote == "| Coast | 500,000 | 1,200 |"


def test_lists_and_code_keep_their_form() -> None:
    """The pieces of an answer, joined, are the answer; a code block is one piece."""
    answer = "Do this:\n\n1. Stop it. Wait.\n2. Run:\n```\nmake. Then stop.\n```\n好的。然后走。"
    found = pieces(answer)
    assert "".join(piece.joint + piece.text for piece in found) == answer.replace("\n\n", "\n")
    assert [piece.text for piece in found] == [
        "Do this:", "1. Stop it.", "Wait.", "2. Run:", "```\nmake. Then stop.\n```", "好的。", "然后走。",
    ]  # fmt: skip


def test_loops_are_told_in_both_languages() -> None:
    """The same four words three times are a loop; a list of like things is none."""
    assert loops("请求体最大是 10 MB。请求体最大是 10 MB。请求体最大是 10 MB。")
    assert loops("The canary is a tool. The canary is a tool. The canary is a tool.")
    assert not loops("Harbour has 300 a minute, Coast has 1200 a minute, Paddle has 10 a minute.")
