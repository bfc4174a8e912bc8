"""The card of an answer: streamed, patched, or a plain message, as far as Lark takes it."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from bot.platform import TooLateToEditError
from tests.bot.platforms.lark.answers import ask, calls, ended, growing, only
from tests.bot.platforms.lark.conftest import MakePlatform
from tests.fakes.lark import FakeLark


async def test_streaming_is_opened_anew_before_its_time_is_over(fake: FakeLark, make_platform: MakePlatform) -> None:
    """An answer that grows for twelve minutes of ten arrives whole, in one card, and no text is refused."""
    fake.change_rules(streaming_ttl_s=75)
    platform, question = make_platform(rotate_after_s=0.3), ask(fake)
    sent_id = await platform.send(growing(question, "0"))
    began_s = time.monotonic()
    number = 0
    while time.monotonic() - began_s < 0.9:
        number += 1
        await platform.edit(sent_id, growing(question, " ".join(map(str, range(number)))))
    assert only(fake, question).text == " ".join(map(str, range(number)))
    await platform.edit(sent_id, ended(question))
    assert only(fake, question).text.startswith("Because.")
    assert len(calls(fake, "card.settings")) >= 2
    assert not [line for line in fake.journal if line.kind == "element.content" and "200850" in str(line.payload)]


async def test_streaming_that_ended_by_itself_is_opened_again(fake: FakeLark, make_platform: MakePlatform) -> None:
    """A text that comes after the streaming time was over opens it again."""
    fake.change_rules(streaming_ttl_s=20)
    platform, question = make_platform(), ask(fake)
    sent_id = await platform.send(growing(question, "Thinking…"))
    await asyncio.sleep(0.25)
    await platform.edit(sent_id, growing(question, "Be"))
    assert only(fake, question).text == "Be"
    assert only(fake, question).streaming


async def test_without_cardkit_the_card_is_patched(fake: FakeLark, make_platform: MakePlatform) -> None:
    """Where card entities are not permitted, the card stands in the message, and is replaced there as it grows."""
    fake.fail("card.create", "code", times=99, code=99991672)
    fake.fail("card.id_convert", "code", times=99, code=99991672)
    platform, question = make_platform(), ask(fake)
    sent_id = await platform.send(growing(question, "Thinking…"))
    await platform.edit(sent_id, growing(question, "Be"))
    assert only(fake, question).text == "Be"
    await make_platform().edit(sent_id, ended(question))
    assert only(fake, question).text.startswith("Because.")
    assert len(calls(fake, "message.patch")) == 2


@pytest.mark.parametrize("code", [200750, 300313, 300317, 11310])
async def test_a_card_that_takes_no_change_is_patched(fake: FakeLark, make_platform: MakePlatform, code: int) -> None:
    """Where CardKit refuses to change the card, the message gets a new one."""
    platform, question = make_platform(), ask(fake)
    sent_id = await platform.send(growing(question, "Thinking…"))
    for kind in ("element.content", "card.update"):
        fake.fail(kind, "code", times=99, code=code)
    await platform.edit(sent_id, growing(question, "Be"))
    assert only(fake, question).text == "Be"
    await platform.edit(sent_id, ended(question))
    assert only(fake, question).text.startswith("Because.")


async def test_a_card_that_cannot_even_be_patched_becomes_a_plain_message(
    fake: FakeLark, make_platform: MakePlatform
) -> None:
    """The end is shown as text in place of the card, which is taken away."""
    platform, question = make_platform(), ask(fake)
    sent_id = await platform.send(growing(question, "Thinking…"))
    for kind in ("card.update", "message.patch"):
        fake.fail(kind, "code", times=99, code=230099)
    with pytest.raises(TooLateToEditError):
        await platform.edit(sent_id, ended(question))
    await platform.send(ended(question))
    answer = only(fake, question)
    assert (answer.msg_type, answer.text) == ("text", "Because.\n\nSources:\n[1] Handbook")


async def test_a_card_that_is_refused_at_once_is_a_plain_message(fake: FakeLark, make_platform: MakePlatform) -> None:
    """Where Lark does not take the card, the same is said in plain text, and its end is edited in once."""
    platform, question = make_platform(), ask(fake)
    fake.fail("message.reply", "code", code=230099)
    sent_id = await platform.send(growing(question, "Thinking…"))
    await platform.edit(sent_id, growing(question, "Be"))
    assert only(fake, question).text == "Thinking…"
    await platform.edit(sent_id, ended(question))
    assert only(fake, question).text == "Because.\n\nSources:\n[1] Handbook"
    await make_platform().edit(sent_id, ended(question, "Because of it."))
    assert only(fake, question).text.startswith("Because of it.")
    fake.fail("message.update", "code", code=230072)
    third = make_platform()
    with pytest.raises(TooLateToEditError):
        await third.edit(sent_id, ended(question, "Too often."))
    await third.send(ended(question, "Too often."))
    assert only(fake, question).text.startswith("Too often.")


async def test_an_answer_that_was_recalled_is_sent_anew(fake: FakeLark, make_platform: MakePlatform) -> None:
    """A recalled answer cannot be edited; sent again, it is a new message."""
    platform, question = make_platform(), ask(fake)
    sent_id = await platform.send(growing(question, "Thinking…"))
    message_id = only(fake, question).message_id
    fake.recall(message_id)
    platform._answers.recalled(message_id)
    with pytest.raises(TooLateToEditError):
        await platform.edit(sent_id, ended(question))
    with pytest.raises(TooLateToEditError):
        await make_platform().edit(sent_id, ended(question))
    await platform.send(ended(question))
    assert only(fake, question).text.startswith("Because.")


async def test_the_sent_id_is_small(fake: FakeLark, make_platform: MakePlatform) -> None:
    """What is kept of a send is the message, its card and its kind."""
    platform, question = make_platform(), ask(fake)
    ((message_id, card_id, kind),) = json.loads(await platform.send(ended(question)))
    assert (message_id, kind) == (only(fake, question).message_id, "interactive")
    assert card_id in fake.cards.cards
