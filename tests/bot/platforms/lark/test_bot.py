"""From a person's message in Lark to the one answer that they see, through the real bot and a real Redis."""

from __future__ import annotations

from tests.bot.answering import answering
from tests.bot.conftest import MakeSettings, running_bot
from tests.bot.platforms.lark.conftest import MakePlatform, eventually
from tests.fakes.lark import FakeLark
from tests.fakes.lark.chats import VisibleMessage
from tests.valkey import ValkeyServer


async def answer_to(fake: FakeLark, message_id: str, words: str = "Sources:") -> VisibleMessage:
    """The one visible answer, once it has ended."""
    await eventually(
        fake, lambda: [each for each in fake.answers_to(message_id) if words in each.text and not each.streaming]
    )
    (answer,) = fake.answers_to(message_id)
    return answer


async def test_a_question_in_a_group_is_answered_in_one_card(
    fake: FakeLark, make_platform: MakePlatform, make_settings: MakeSettings, valkey: ValkeyServer
) -> None:
    """A mention gets one card in reply, with the answer, its sources and two buttons; the event is acknowledged."""
    async with running_bot(make_platform(), make_settings()), answering(valkey.url, partials=("You", "You asked")):
        message_id = fake.say("How many days off?", mention_bot=True)
        answer = await answer_to(fake, message_id)
        await eventually(fake, lambda: not fake.unacked_events())
    assert answer.text.split("\n")[0] == "You asked: How many days off?"
    assert "[1] Holidays — handbook/holidays.md" in answer.text
    assert answer.text.endswith("👍\n👎")
    assert not fake.sends_above_rate()
