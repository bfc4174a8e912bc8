"""An answer that is longer than a card: several cards, in order and whole."""

from __future__ import annotations

import pytest

from bot.platform import Reply, SendAmbiguousError
from contract.answer import Outcome
from tests.bot.platforms.lark.answers import ask, ended, growing, only, send_until_shown
from tests.bot.platforms.lark.conftest import MakePlatform
from tests.fakes.lark import FakeLark

LONG = "\n\n".join(f"Paragraph {number}: " + "some words of it. " * 40 for number in range(80))


async def test_a_long_answer_is_several_cards_in_order(fake: FakeLark, make_platform: MakePlatform) -> None:
    """What does not fit into one card goes on in the next; only the last has sources and buttons."""
    platform, question = make_platform(), ask(fake)
    sent_id = await platform.send(growing(question, LONG[:1000]))
    await platform.edit(sent_id, growing(question, LONG[:30_000]))
    first, second = fake.answers_to(question.message_id)
    assert not first.streaming
    assert second.streaming
    await platform.edit(sent_id, ended(question, LONG))
    answers = fake.answers_to(question.message_id)
    assert len(answers) == 3
    assert [("👍" in answer.text) for answer in answers] == [False, False, True]
    whole = "".join(answer.text.split("\nSources")[0] for answer in answers)
    assert "".join(whole.split()) == "".join(LONG.split())


@pytest.mark.parametrize("lists", [True, False])
async def test_a_long_answer_is_completed_once_by_the_next_process(
    fake: FakeLark, make_platform: MakePlatform, lists: bool
) -> None:
    """Cards that an earlier process added are gone on with, whether the chat can be read back or not."""
    platform, question = make_platform(), ask(fake)
    sent_id = await platform.send(growing(question, LONG[:1000]))
    await platform.edit(sent_id, growing(question, LONG[:30_000]))
    if not lists:
        fake.fail("message.list", "code", times=99, code=230027)
    await make_platform().edit(sent_id, ended(question, LONG))
    answers = fake.answers_to(question.message_id)
    whole = "".join(answer.text.split("\nSources")[0] for answer in answers)
    assert "".join(whole.split()) == "".join(LONG.split())


async def test_a_long_send_that_broke_in_the_middle_is_completed(fake: FakeLark, make_platform: MakePlatform) -> None:
    """When the second card does not go out, the first is found again and the rest follows."""
    platform, question = make_platform(), ask(fake)
    fake.fail("card.create", "slow", delay_s=0)
    fake.fail("card.create", "html")
    with pytest.raises(SendAmbiguousError):
        await platform.send(ended(question, LONG))
    await send_until_shown(platform, ended(question, LONG))
    assert len(fake.answers_to(question.message_id)) == 3


async def test_cards_that_are_not_needed_any_more_go(fake: FakeLark, make_platform: MakePlatform) -> None:
    """When a long text ends in a short sentence, one message stays."""
    platform, question = make_platform(), ask(fake)
    sent_id = await platform.send(growing(question, LONG))
    assert len(fake.answers_to(question.message_id)) == 3
    await make_platform().edit(sent_id, Reply(question, "Something went wrong.", outcome=Outcome.FAILED))
    assert only(fake, question).text == "Something went wrong."
