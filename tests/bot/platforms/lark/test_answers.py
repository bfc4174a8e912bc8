"""Answers in the chat: one message for each question, growing, whatever Lark does."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest

from bot.platform import Reply, SendAmbiguousError, SendLaterError, SendRefusedError
from contract.question import Question
from tests.bot.platforms.lark.answers import ask, calls, ended, growing, only, send_until_shown
from tests.bot.platforms.lark.conftest import MakePlatform
from tests.fakes.lark import FakeLark


async def test_an_answer_grows_in_one_card(fake: FakeLark, make_platform: MakePlatform) -> None:
    """Each text is streamed whole into the same card under a rising sequence; the end closes the streaming."""
    platform, question = make_platform(), ask(fake)
    sent_id = await platform.send(growing(question, "Thinking…"))
    assert only(fake, question).streaming
    for text in ("Be", "Because", "Because."):
        await platform.edit(sent_id, growing(question, text))
        assert only(fake, question).text == text
    await platform.edit(sent_id, ended(question))
    answer = only(fake, question)
    assert answer.text == "Because.\nSources:\n[1] Handbook\n👍\n👎"
    assert not answer.streaming
    (card,) = fake.cards.cards.values()
    sequences = [operation.sequence for operation in card.history]
    assert sequences == sorted(set(sequences))
    assert len(calls(fake, "element.content")) == 3


async def test_the_same_twice_is_once(fake: FakeLark, make_platform: MakePlatform) -> None:
    """An edit that changes nothing calls nobody."""
    platform, question = make_platform(), ask(fake)
    sent_id = await platform.send(ended(question))
    before = len(fake.journal)
    await platform.edit(sent_id, ended(question))
    assert len(fake.journal) == before


async def test_an_answer_in_a_topic_stays_in_it(fake: FakeLark, make_platform: MakePlatform) -> None:
    """In a group of topics the reply stands in the question's topic."""
    chat_id = fake.add_chat(topic=True)
    platform, question = make_platform(), ask(fake, chat_id=chat_id)
    await platform.send(ended(question))
    assert only(fake, question).thread_id == question.address["thread_id"]
    assert await platform.find(question)


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("message.reply", "commit_then_drop"),
        ("message.reply", "commit_then_html"),
        ("message.reply", "commit_late"),
        ("message.reply", "drop"),
        ("message.reply", "html"),
        ("message.reply", "broken_json"),
        ("card.create", "commit_then_drop"),
        ("card.create", "html"),
    ],
)
async def test_a_send_that_broke_is_shown_once(
    fake: FakeLark, make_platform: MakePlatform, kind: str, fault: str
) -> None:
    """Whether it took effect or not, now or a little later, one message is shown, and the right one."""
    platform, question = make_platform(), ask(fake)
    detail: dict[str, Any] = {"delay_s": 0.3} if fault == "commit_late" else {}
    fake.fail(kind, fault, **detail)
    try:
        await platform.send(growing(question, "Thinking…"))
    except SendLaterError:
        assert kind == "card.create"
    except SendAmbiguousError:
        assert kind == "message.reply"
        await platform.find(question)
    sent_id = await send_until_shown(platform, ended(question))
    await platform.edit(sent_id, ended(question))
    await asyncio.sleep(0.3 if detail else 0)
    assert only(fake, question).text.startswith("Because.")


@pytest.mark.parametrize("kind", ["element.content", "card.update"])
@pytest.mark.parametrize("fault", ["commit_then_drop", "commit_then_html", "commit_late", "drop", "html"])
async def test_an_edit_that_broke_is_done_again(
    fake: FakeLark, make_platform: MakePlatform, kind: str, fault: str
) -> None:
    """An edit whose end nobody saw is ambiguous, and doing it again ends right even if the first comes late."""
    platform, question = make_platform(), ask(fake)
    sent_id = await platform.send(growing(question, "Thinking…"))
    detail: dict[str, Any] = {"delay_s": 0.2} if fault == "commit_late" else {}
    fake.fail(kind, fault, times=3, **detail)
    with pytest.raises(SendAmbiguousError):
        await platform.edit(sent_id, growing(question, "Be") if kind == "element.content" else ended(question))
    fake.faults.clear()
    await platform.edit(sent_id, ended(question))
    await asyncio.sleep(0.3 if fault == "commit_late" else 0)
    assert only(fake, question).text.startswith("Because.")


async def test_the_next_process_goes_on_in_the_same_card(fake: FakeLark, make_platform: MakePlatform) -> None:
    """A new process knows the message by its id, finds its card, and numbers its changes above the earlier ones."""
    question = ask(fake)
    sent_id = await make_platform().send(growing(question, "Thinking…"))
    second = make_platform()
    await second.edit(sent_id, growing(question, "Be"))
    await make_platform().edit(sent_id, ended(question))
    assert only(fake, question).text.startswith("Because.")
    sequences = [operation.sequence for operation in next(iter(fake.cards.cards.values())).history]
    assert sequences == sorted(set(sequences))


async def test_a_lost_send_is_found_by_the_next_process(fake: FakeLark, make_platform: MakePlatform) -> None:
    """After a crash between sending and writing it down, the chat tells the message; before it, that there is none."""
    question = ask(fake)
    other = ask(fake, chat_id=question.channel)
    assert await make_platform().find(question) is None
    await make_platform().send(growing(question, "Thinking…"))
    await make_platform().send(growing(other, "Thinking…"))
    second = make_platform()
    sent_id = await second.find(question)
    assert sent_id
    await second.edit(sent_id, ended(question))
    assert only(fake, question).text.startswith("Because.")
    assert only(fake, other).text == "Thinking…"


async def test_a_send_repeated_by_the_next_process_is_shown_once(fake: FakeLark, make_platform: MakePlatform) -> None:
    """Where the chat cannot be read back, the same send within an hour gives the same message, brought up to date."""
    question = ask(fake)
    await make_platform().send(growing(question, "Thinking…"))
    second = make_platform()
    fake.fail("message.list", "code", times=99, code=230027)
    with pytest.raises(SendRefusedError, match="permission"):
        await second.find(question)
    await make_platform().send(ended(question))
    assert only(fake, question).text.startswith("Because.")


@pytest.mark.parametrize("readable", [True, False])
async def test_after_an_hour_the_chat_is_read_before_it_is_sent_again(
    fake: FakeLark, make_platform: MakePlatform, readable: bool
) -> None:
    """When the same uuid would show it a second time, an earlier reply is looked for; unreadable, it is sent."""
    question = replace(ask(fake), accepted_at_s=time.time() - 3_500)
    first = make_platform()
    await first.send(growing(question, "Thinking…"))
    fake.change_rules(uuid_window_s=0)
    if not readable:
        fake.fail("message.list", "code", times=99, code=230027)
    await make_platform().send(ended(question))
    texts = [each.text.split("\n")[0] for each in fake.answers_to(question.message_id)]
    assert texts == (["Because."] if readable else ["Thinking…", "Because."])


async def test_a_clock_that_was_put_back_is_overtaken(fake: FakeLark, make_platform: MakePlatform) -> None:
    """A sequence that Lark rejects is raised until it is above what an earlier process used."""
    question = ask(fake)
    sent_id = await make_platform().send(growing(question, "Thinking…"))
    (card,) = fake.cards.cards.values()
    card.sequence = 100_000
    await make_platform().edit(sent_id, ended(question))
    assert only(fake, question).text.startswith("Because.")


async def test_a_recalled_question_is_not_answered(fake: FakeLark, make_platform: MakePlatform) -> None:
    """A reply to a recalled message is refused, in words."""
    platform, question = make_platform(), ask(fake)
    fake.recall(question.message_id)
    with pytest.raises(SendRefusedError, match="recalled"):
        await platform.send(ended(question))


async def test_a_chat_that_the_bot_was_taken_out_of_is_told_in_words(
    fake: FakeLark, make_platform: MakePlatform
) -> None:
    """Outside of the chat nothing can be sent, and the error says what to do."""
    platform, question = make_platform(), ask(fake)
    fake.set_bot_inside(question.channel, False)
    with pytest.raises(SendRefusedError, match="not in this chat"):
        await platform.send(ended(question))


@pytest.mark.parametrize("code", [230020, 99991400])
async def test_too_often_is_later(fake: FakeLark, make_platform: MakePlatform, code: int) -> None:
    """When Lark asks to slow down, nothing was shown, and it is tried later."""
    platform, question = make_platform(), ask(fake)
    fake.fail("message.reply", "code", code=code)
    with pytest.raises(SendLaterError):
        await platform.send(ended(question))
    await platform.send(ended(question))
    assert only(fake, question).text.startswith("Because.")


async def test_many_answers_at_once_stay_within_the_rates(fake: FakeLark, make_platform: MakePlatform) -> None:
    """Thirty answers growing at once in six chats never come too often; who has to wait is told."""
    platform = make_platform()
    questions = [ask(fake) for _ in range(6)]
    questions += [ask(fake, chat_id=questions[number % 6].channel) for number in range(24)]

    async def patiently(question: Question, reply: Reply, sent_id: str = "") -> str:
        while True:
            try:
                if sent_id:
                    await platform.edit(sent_id, reply)
                    return sent_id
                return await platform.send(reply)
            except SendLaterError as error:
                await asyncio.sleep(error.after_s)

    async def answer(question: Question) -> None:
        sent_id = await patiently(question, growing(question, "Thinking…"))
        for text in ("Be", "Because"):
            try:
                await platform.edit(sent_id, growing(question, text))
            except SendLaterError:
                continue
        await patiently(question, ended(question), sent_id)

    await asyncio.gather(*(answer(question) for question in questions))
    assert all(only(fake, question).text.startswith("Because.") for question in questions)
    assert not fake.sends_above_rate()
