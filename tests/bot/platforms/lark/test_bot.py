"""From a person's message in Lark to the one answer that they see, through the real bot and a real Redis."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis.asyncio

from bot.platforms.lark import LarkPlatform, receiving
from bot.run import run_bot
from contract import names
from tests.bot.answering import answering, echo, finish, publish, take
from tests.bot.conftest import MakeSettings, running_bot, until
from tests.bot.crashing import STEPS, Crash, crash_at, nothing_is_open
from tests.bot.platforms.lark.conftest import CLIENT_CONFIG, QUICK, MakePlatform, eventually, lark_settings
from tests.fakes.lark import FakeLark, Rules
from tests.fakes.lark.chats import VisibleMessage
from tests.fakes.lark.webhook import VARIANTS
from tests.valkey import ValkeyServer

MakeValkey = Callable[[], ValkeyServer]


async def answer_to(fake: FakeLark, message_id: str, words: str = "👎", timeout_s: float = 10) -> VisibleMessage:
    """The one visible answer, once it has ended."""

    def has_ended() -> bool:
        return any(words in each.text and not each.streaming for each in fake.answers_to(message_id))

    await eventually(fake, has_ended, timeout_s)
    (answer,) = fake.answers_to(message_id)
    return answer


async def shows(fake: FakeLark, message_id: str, text: str) -> None:
    """Wait until an answer to this message shows just this text."""
    await eventually(fake, lambda: [each for each in fake.answers_to(message_id) if each.text == text])


async def test_a_question_in_a_group_is_answered_in_one_card(
    fake: FakeLark, make_platform: MakePlatform, make_settings: MakeSettings, valkey: ValkeyServer
) -> None:
    """A mention gets one card in reply, with the answer, its sources and two buttons; the event is acknowledged."""
    async with running_bot(make_platform(), make_settings()), answering(valkey.address, partials=("You", "You asked")):
        message_id = fake.say("How many days off?", mention_bot=True)
        answer = await answer_to(fake, message_id)
        await eventually(fake, lambda: not fake.unacked_events())
    assert answer.text.split("\n")[0] == "You asked: How many days off?"
    assert "[1] Holidays — handbook/holidays.md" in answer.text
    assert answer.text.endswith("👍\n👎")
    assert not fake.sends_above_rate()


async def test_the_asker_sees_it_think_and_grow(
    fake: FakeLark, make_platform: MakePlatform, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """Before any worker begins the card says that it thinks, in the question's language; then it grows to its end."""
    async with running_bot(make_platform(), make_settings()):
        message_id = fake.say("年假有几天？", mention_bot=True)
        await shows(fake, message_id, "正在思考……")
        question = await until(lambda: take(redis_client))
        for text in ("一年", "一年三十"):
            await publish(redis_client, question, text)
            await shows(fake, message_id, text)
        await finish(redis_client, echo(question))
        answer = await answer_to(fake, message_id)
    assert answer.text.startswith("You asked: 年假有几天？\n来源：")


async def test_a_direct_message_needs_no_mention(
    fake: FakeLark, make_platform: MakePlatform, make_settings: MakeSettings, valkey: ValkeyServer
) -> None:
    """In a direct chat whatever is written is a question; in a group it needs a mention."""
    async with running_bot(make_platform(), make_settings()), answering(valkey.address):
        overheard = fake.say("How many days off?")
        message_id = fake.say("How many days off?", direct=True)
        await answer_to(fake, message_id)
        await eventually(fake, lambda: not fake.unacked_events())
    assert not fake.answers_to(overheard)


async def test_a_follow_up_needs_no_mention(
    fake: FakeLark, make_platform: MakePlatform, make_settings: MakeSettings, valkey: ValkeyServer
) -> None:
    """Whoever answers the bot's card is answered, and so is whoever goes on in the topic."""
    topics = fake.add_chat(topic=True)
    async with running_bot(make_platform(), make_settings()), answering(valkey.address):
        for chat_id in (fake.add_chat(), topics):
            message_id = fake.say("How many days off?", mention_bot=True, chat_id=chat_id)
            answer = await answer_to(fake, message_id)
            follow_up = fake.say("And for Bob?", parent_id=answer.message_id)
            second = await answer_to(fake, follow_up)
            assert second.text.startswith("You asked: And for Bob?")
            assert second.thread_id == answer.thread_id
    assert answer.thread_id


async def test_rich_text_and_a_quote_are_understood(
    fake: FakeLark,
    make_platform: MakePlatform,
    make_settings: MakeSettings,
    valkey: ValkeyServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A post is read as text, and a question about somebody's message comes with that message's words."""
    monkeypatch.setattr(receiving, "QUOTE_WITHIN_S", 0.2)
    async with running_bot(make_platform(), make_settings()), answering(valkey.address):
        post = fake.say("How many\ndays off?", mention_bot=True, message_type="post", title="Holidays")
        assert (await answer_to(fake, post)).text.startswith("You asked: Holidays\nHow many\ndays off?")
        quoted = fake.say("The gauge shows E42.")
        asked = fake.say("what is that?", mention_bot=True, parent_id=quoted)
        assert (await answer_to(fake, asked)).text.startswith("You asked: > The gauge shows E42.\n\nwhat is that?")
        fake.fail("message.get", "hang")
        asked = fake.say("and now?", mention_bot=True, parent_id=quoted)
        assert (await answer_to(fake, asked)).text.startswith("You asked: and now?")
        fake.release_hung()


async def test_a_recalled_question_stops_its_answer(
    fake: FakeLark, make_platform: MakePlatform, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """A question that is taken back is not answered: the card says that it was stopped, and no worker gets it."""
    async with running_bot(make_platform(), make_settings()):
        message_id = fake.say("How many days off?", mention_bot=True)
        await eventually(fake, lambda: fake.answers_to(message_id))
        fake.recall(message_id)
        await answer_to(fake, message_id, "Stopped.")
        await until(lambda: nothing_is_open(redis_client, "lark"))
        assert await take(redis_client) is None


async def test_a_judgement_is_taken_in(
    fake: FakeLark, make_platform: MakePlatform, make_settings: MakeSettings, valkey: ValkeyServer
) -> None:
    """A press on a button of the card is acknowledged with a sign that it was taken."""
    async with running_bot(make_platform(), make_settings()), answering(valkey.address):
        message_id = fake.say("How many days off?", mention_bot=True)
        answer = await answer_to(fake, message_id)
        assert answer.card
        buttons = [column["elements"][0] for column in answer.card["body"]["elements"][-1]["columns"]]
        event_id = fake.press(answer.message_id, buttons[0]["behaviors"][0]["value"])
        await eventually(fake, lambda: fake.delivery(event_id).acknowledged_at_s)
    assert fake.delivery(event_id).data == {"toast": {"type": "success", "content": "👍"}}


@pytest.mark.parametrize(
    ("fault", "detail"),
    [
        ("duplicate", {"copies": 3}),
        ("duplicate_event", {}),
        ("fragments", {"copies": 2}),
        ("lost_fragment", {}),
        ("lost", {}),
        ("card_frame", {}),
        ("close", {}),
        ("abort", {}),
    ],
)
async def test_an_event_that_comes_often_is_one_question(
    fake: FakeLark,
    make_platform: MakePlatform,
    make_settings: MakeSettings,
    valkey: ValkeyServer,
    fault: str,
    detail: dict[str, Any],
) -> None:
    """Copies, doubled and lost fragments, and what was lost with the link on either way leave one answer."""
    async with running_bot(make_platform(), make_settings()):
        await eventually(fake, lambda: fake.link.connections)
        fake.fail("event", fault, **detail)
        fake.change_rules(ack_timeout_s=0.5)
        message_id = fake.say("How many days off? " + "x" * 2000, mention_bot=True)
        await eventually(fake, lambda: not fake.unacked_events())
        async with answering(valkey.address):
            await answer_to(fake, message_id)
    assert len(fake.answers_to(message_id)) == 1


async def test_without_redis_the_event_comes_again(
    fake: FakeLark, make_platform: MakePlatform, make_settings: MakeSettings, make_valkey: MakeValkey
) -> None:
    """While Redis is away nothing is acknowledged; when it is back, Lark's next delivery becomes the question."""
    server = make_valkey()
    fake.change_rules(redelivery_after_s=(50, 50, 50, 50, 50, 50, 50, 50))
    async with running_bot(make_platform(ack_within_s=0.3), make_settings(server.url), lease_s=30):
        await eventually(fake, lambda: fake.link.connections)
        server.kill()
        message_id = fake.say("How many days off?", mention_bot=True)
        await eventually(fake, lambda: fake.deliveries.all[0].outcomes == ["500"])
        await asyncio.to_thread(server.start)
        async with answering(server.address):
            await answer_to(fake, message_id)
        await eventually(fake, lambda: not fake.unacked_events())
    assert len(fake.answers_to(message_id)) == 1


SEND_FAULTS = [
    ("card.create", "rate_limited", {}),
    ("card.create", "code", {"code": 99991672}),
    ("message.reply", "commit_then_drop", {}),
    ("message.reply", "commit_then_html", {}),
    ("message.reply", "commit_late", {"delay_s": 0.2}),
    ("message.reply", "commit_then_slow", {"delay_s": 1.5}),
    ("message.reply", "drop", {}),
    ("message.reply", "rate_limited", {}),
    ("message.reply", "code", {"code": 230020}),
    ("message.reply", "code", {"code": 230099}),
    ("message.reply", "code", {"code": 239999}),
    ("element.content", "code", {"code": 300309}),
    ("element.content", "code", {"code": 200850}),
    ("element.content", "code", {"code": 300317}),
    ("element.content", "html", {}),
    ("card.update", "commit_then_drop", {}),
    ("card.update", "commit_late", {"delay_s": 0.2}),
    ("card.update", "code", {"code": 300317}),
    ("card.update", "code", {"code": 200750}),
    ("token", "html", {}),
    ("*", "html", {"times": 4}),
]


@pytest.mark.parametrize(("kind", "fault", "detail"), SEND_FAULTS)
async def test_whatever_goes_wrong_in_sending_one_right_message_is_shown(
    fake: FakeLark,
    make_platform: MakePlatform,
    make_settings: MakeSettings,
    redis_client: redis.asyncio.Redis,
    kind: str,
    fault: str,
    detail: dict[str, Any],
) -> None:
    """Each fault of the platform ends in one message with the whole answer, and nothing is left open."""
    async with running_bot(make_platform(timeout_s=0.6), make_settings()):
        await eventually(fake, lambda: fake.link.connections)
        if kind == "token":
            fake.void_tokens()
        fake.fail(kind, fault, **detail)
        message_id = fake.say("How many days off?", mention_bot=True)
        question = await until(lambda: take(redis_client))
        await publish(redis_client, question, "You")
        await asyncio.sleep(0.1)
        await finish(redis_client, echo(question))
        await answer_to(fake, message_id, "[1] Holidays")
        await until(lambda: nothing_is_open(redis_client, "lark"))
    assert len(fake.answers_to(message_id)) == 1


async def test_an_answer_of_twelve_minutes_arrives_whole(
    make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """On a clock 400 times as fast, a card that grows for longer than its streaming mode lasts is one whole card."""
    second_s = 1 / 400
    with FakeLark(time_scale=second_s, rules=Rules(redelivery_after_s=(15,) * 4), client_config=CLIENT_CONFIG) as fake:
        platform = LarkPlatform(lark_settings(fake), times=QUICK, rotate_after_s=540 * second_s)
        async with running_bot(platform, make_settings()):
            message_id = fake.say("Tell me everything", mention_bot=True)
            question = await until(lambda: take(redis_client))
            began_s, words = time.monotonic(), 0
            while time.monotonic() - began_s < 720 * second_s:
                words += 1
                await publish(redis_client, question, "word " * words)
                await asyncio.sleep(0.02)
            await finish(redis_client, replace(echo(question), text="word " * words))
            answer = await answer_to(fake, message_id)
            await until(lambda: nothing_is_open(redis_client, "lark"))
    assert answer.text.split("\n")[0].split() == ["word"] * words
    (card,) = fake.cards.cards.values()
    grown = [operation.at_s for operation in card.history if operation.name == "content"]
    assert grown[-1] - grown[0] > 600 * second_s
    sequences = [operation.sequence for operation in card.history]
    assert sequences == sorted(set(sequences))


async def test_a_long_answer_is_split_into_cards(
    fake: FakeLark, make_platform: MakePlatform, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """What is more than 30 KB goes on in the next card, in order and whole, and the last one has the sources."""
    paragraphs = [f"{number}. " + "字" * 900 for number in range(12)]
    async with running_bot(make_platform(), make_settings()):
        message_id = fake.say("Tell me everything", mention_bot=True)
        question = await until(lambda: take(redis_client))
        await finish(redis_client, replace(echo(question), text="\n\n".join(paragraphs)))
        await until(lambda: nothing_is_open(redis_client, "lark"))
        texts = [each.text for each in fake.answers_to(message_id)]
    assert len(texts) == 2
    assert [text for text in "\n".join(texts).split("\n") if "字" in text] == paragraphs
    assert ["[1] Holidays" in text for text in texts] == [False, True]


async def test_an_answer_whose_question_or_chat_is_gone_is_let_go(
    fake: FakeLark, make_platform: MakePlatform, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """Where Lark refuses for good, after a recall that nobody told of or without the bot inside, nothing stays open."""
    fake.fail("message.reply", "rate_limited", times=99, reset_s=1)
    async with running_bot(make_platform(), make_settings()):
        asked = [fake.say("How many days off?", mention_bot=True) for _ in range(2)]
        questions = [await until(lambda: take(redis_client)) for _ in asked]
        fake.chats.messages[asked[0]].recalled = True
        fake.chats.chats[fake.chats.messages[asked[1]].chat_id].bot_inside = False
        fake.faults.clear()
        for question in questions:
            await finish(redis_client, echo(question))
        await until(lambda: nothing_is_open(redis_client, "lark"))
    assert not fake.answers_to(asked[0]) + fake.answers_to(asked[1])


async def test_a_text_that_was_edited_too_often_is_sent_anew(
    fake: FakeLark, make_platform: MakePlatform, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """Where cards are refused and the text takes no more edits, its place is taken by one that has the answer."""
    async with running_bot(make_platform(), make_settings()):
        fake.fail("message.reply", "code", code=230099)
        fake.fail("message.update", "code", code=230072)
        message_id = fake.say("How many days off?", mention_bot=True)
        question = await until(lambda: take(redis_client))
        await eventually(fake, lambda: fake.answers_to(message_id))
        await finish(redis_client, echo(question))
        await until(lambda: nothing_is_open(redis_client, "lark"))
    (answer,) = fake.answers_to(message_id)
    assert answer.text.startswith("You asked: How many days off?")


async def test_questions_that_come_out_of_order_are_both_answered(
    fake: FakeLark, make_platform: MakePlatform, make_settings: MakeSettings, valkey: ValkeyServer
) -> None:
    """When Lark tells of the second question first, each gets its own answer, once."""
    async with running_bot(make_platform(), make_settings()), answering(valkey.address):
        await eventually(fake, lambda: fake.link.connections)
        fake.fail("event", "out_of_order")
        asked = [fake.say(text, direct=True) for text in ("first", "second")]
        answers = [await answer_to(fake, message_id) for message_id in asked]
        await eventually(fake, lambda: not fake.unacked_events())
    assert [answer.text.split("\n")[0] for answer in answers] == ["You asked: first", "You asked: second"]


async def test_the_asker_is_known_by_name(
    fake: FakeLark, make_platform: MakePlatform, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """A question carries its asker's name, which is asked for once; where the app may not know it, it has none."""
    ada, bob = fake.add_person("Ada"), fake.add_person("Bob")
    async with running_bot(make_platform(), make_settings()):
        for _ in range(2):
            fake.say("How many days off?", mention_bot=True, person=ada)
            assert (await until(lambda: take(redis_client))).asker_name == "Ada"
        fake.fail("users.batch", "code", code=99991672)
        for _ in range(2):
            fake.say("How many days off?", mention_bot=True, person=bob)
            assert (await until(lambda: take(redis_client))).asker_name == ""
    assert sum(line.kind == "users.batch" and line.direction == "in" for line in fake.journal) == 2


@pytest.mark.parametrize("step", STEPS)
async def test_a_crash_at_any_step_leaves_one_card(
    fake: FakeLark,
    make_platform: MakePlatform,
    make_settings: MakeSettings,
    redis_client: redis.asyncio.Redis,
    step: str,
) -> None:
    """Whatever step of the delivery the process dies at, the next one ends the question in the same card."""
    settings = make_settings()
    message_id = fake.say("How many days off?", mention_bot=True)
    bot = asyncio.create_task(run_bot(make_platform(), settings, asyncio.Event(), at_step=crash_at(step), lease_s=1.0))
    question = await until(lambda: take(redis_client))
    await finish(redis_client, echo(question))
    with pytest.raises(BaseExceptionGroup) as caught:
        await asyncio.wait_for(bot, 10)
    assert caught.group_contains(Crash)
    async with running_bot(make_platform(), settings):
        await answer_to(fake, message_id)
        await until(lambda: nothing_is_open(redis_client, "lark"))
    assert len(fake.answers_to(message_id)) == 1


async def test_a_forged_webhook_makes_no_job(
    fake: FakeLark, make_platform: MakePlatform, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """What is not Lark's leaves no trace in the queue; a request that is played again is the same question."""
    platform = make_platform({"mode": "webhook", "webhook_port": 0})
    async with running_bot(platform, make_settings()):
        await eventually(fake, lambda: platform.webhook and platform.webhook.ready.is_set())
        assert platform.webhook
        fake.webhook_url = f"http://127.0.0.1:{platform.webhook.port}/lark/events"
        forged = [variant for variant in VARIANTS if variant not in ("valid", "repeated")]
        for variant in forged:
            assert 400 <= (await asyncio.to_thread(fake.post_webhook, variant)).status < 500
        assert await redis_client.llen(names.QUEUE_KEY) == 0
        for variant in ("valid", "repeated"):
            assert (await asyncio.to_thread(fake.post_webhook, variant)).status == 200
        assert await redis_client.llen(names.QUEUE_KEY) == 1


# --- the program


@pytest.fixture
def start_bot(fake: FakeLark, valkey: ValkeyServer, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts ``python -m bot lark``, pointed at the fake by its environment alone."""
    started: list[subprocess.Popen[str]] = []

    def start(**added: str) -> subprocess.Popen[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FENNEL_")}
        ours = {"FENNEL_REDIS__URL": valkey.url, "FENNEL_HOME": str(tmp_path / "home"), **fake.urls(), **added}
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "bot", "lark"],
                env=environment | ours,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                cwd=Path(__file__).parents[4],
            )
        )
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=10)


async def test_the_program_killed_and_started_again_answers_once(
    fake: FakeLark,
    start_bot: Callable[..., subprocess.Popen[str]],
    redis_client: redis.asyncio.Redis,
) -> None:
    """After kill -9 while the answer grows, the next process ends it in the same card, ready and small enough."""
    first = start_bot()
    began_s = time.monotonic()
    await eventually(fake, lambda: fake.link.connections, 20)
    ready_s = time.monotonic() - began_s
    resident_mib = psutil.Process(first.pid).memory_info().rss / 2**20
    message_id = fake.say("How many days off?", mention_bot=True)
    question = await until(lambda: take(redis_client))
    await eventually(fake, lambda: fake.answers_to(message_id))
    first.send_signal(signal.SIGKILL)
    first.wait(10)
    await finish(redis_client, echo(question))
    second = start_bot()
    await answer_to(fake, message_id, timeout_s=40)
    second.terminate()
    assert await asyncio.to_thread(second.wait, 20) == 0
    assert len(fake.answers_to(message_id)) == 1
    assert resident_mib < 150
    assert ready_s < 15


async def test_a_program_whose_link_stays_away_ends_with_an_error(
    fake: FakeLark, start_bot: Callable[..., subprocess.Popen[str]]
) -> None:
    """A dead link is an exit code that supervisord acts on, and a sentence."""
    fake.fail("endpoint", "code", times=999, code=99991400)
    process = start_bot(FENNEL_LARK__LINK_TIMEOUT_S="1")
    out, _ = await asyncio.to_thread(process.communicate, None, 30)
    assert process.returncode == 1
    assert "does not come back" in out.splitlines()[-1]
