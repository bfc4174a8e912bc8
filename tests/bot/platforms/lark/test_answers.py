"""Answers in the chat: one message for each question, growing, whatever Lark does."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from typing import Any

import pytest

from bot.platform import Reply, SendAmbiguousError, SendLaterError, SendRefusedError, TooLateToEditError
from bot.platforms.lark import LarkPlatform
from contract.answer import Outcome
from contract.question import Question
from tests.bot.conftest import make_question
from tests.bot.platforms.lark.conftest import MakePlatform
from tests.fakes.lark import FakeLark

LONG = "\n\n".join(f"Paragraph {number}: " + "some words of it. " * 40 for number in range(80))


def ask(fake: FakeLark, **how: Any) -> Question:
    """A question that stands in the chat."""
    message_id = fake.say("why?", **how)
    message = fake.chats.messages[message_id]
    return make_question(
        platform="lark",
        channel=message.chat_id,
        message_id=message_id,
        address={"thread_id": message.thread_id} if message.thread_id else {},
    )


def growing(question: Question, text: str) -> Reply:
    return Reply(question, text)


def ended(question: Question, text: str = "Because.") -> Reply:
    return Reply(question, text, sources="Sources:\n[1] Handbook", outcome=Outcome.ANSWERED)


def calls(fake: FakeLark, name: str) -> list[dict[str, Any]]:
    return [line.payload["body"] for line in fake.journal if line.kind == name and line.direction == "in"]


def only(fake: FakeLark, question: Question) -> Any:
    """The one visible answer."""
    (answer,) = fake.answers_to(question.message_id)
    return answer


async def send_until_shown(platform: LarkPlatform, reply: Reply) -> str:
    """Send as the delivery does: after a send that broke, look for it, and send again where it is not."""
    for _ in range(5):
        try:
            return await platform.send(reply)
        except SendAmbiguousError:
            await asyncio.sleep(platform.settle_s)
            if sent_id := await platform.find(reply.question):
                await platform.edit(sent_id, reply)
                return sent_id
    raise AssertionError("never shown")


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


async def test_the_sent_id_is_small(fake: FakeLark, make_platform: MakePlatform) -> None:
    """What is kept of a send is the message, its card and its kind."""
    platform, question = make_platform(), ask(fake)
    ((message_id, card_id, kind),) = json.loads(await platform.send(ended(question)))
    assert (message_id, kind) == (only(fake, question).message_id, "interactive")
    assert card_id in fake.cards.cards
