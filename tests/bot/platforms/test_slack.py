"""Questions on Slack from the mention to the answer; bot, queue and fake Slack are real servers."""

from __future__ import annotations

from typing import Any

import pytest
import redis.asyncio

from bot.phrases import phrase
from contract import names
from contract.answer import FinalAnswer, Outcome
from contract.question import Question
from tests.bot.answering import finish
from tests.bot.conftest import MakeSettings, until
from tests.bot.platforms.slack_stage import TIME_SCALE, entered, serving, shown, slack_settings
from tests.fakes.slack import FakeSlack, Rules
from tests.fakes.slack.rules import BOT_SCOPES
from tests.fakes.slack_clients import remove_proxies

RULES = Rules(ack_timeout_s=1.0)


async def test_a_mention_is_answered_in_its_thread(fake: FakeSlack, make_settings: MakeSettings) -> None:
    """A mention and its twin get one answer in the thread, with sources and buttons, and no event stays open."""
    async with serving(fake, make_settings(slack=slack_settings(fake))):
        asked = fake.happen("app_mention", text="how many days?")
        (answer,) = await shown(fake, asked)
        assert "You asked: how many days?" in answer.shown
        assert "handbook/holidays.md" in answer.shown
        assert "Everybody has 30 days." in answer.shown
        assert answer.buttons == ["fennel_feedback"]
        await fake.eventually(lambda: not fake.unacked_events())
    assert fake.sends_above_rate() == []


async def test_a_follow_up_needs_no_mention(fake: FakeSlack, make_settings: MakeSettings) -> None:
    """In a thread that we are in every message is a question; in others, and in the channel, it is not."""
    async with serving(fake, make_settings(slack=slack_settings(fake))):
        asked = fake.happen("app_mention", text="one?")
        await shown(fake, asked)
        fake.happen("message", text="two?", thread_ts=asked["ts"])
        other = fake.happen("message", text="not for us")
        fake.happen("message", text="not for us either", thread_ts=other["ts"])
        answers = await shown(fake, asked, count=2)
        await fake.eventually(lambda: not fake.unacked_events())
        assert ["You asked: two?" in answer.shown for answer in answers] == [False, True]
        assert fake.answers("C1", other["ts"]) == []


async def test_a_direct_message_is_answered(fake: FakeSlack, make_settings: MakeSettings) -> None:
    """In direct messages nobody has to say our name."""
    async with serving(fake, make_settings(slack=slack_settings(fake))):
        (answer,) = await shown(fake, fake.happen("dm", text="hello?"))
        assert "You asked: hello?" in answer.shown


async def test_bots_are_not_answered(fake: FakeSlack, make_settings: MakeSettings) -> None:
    """Another app that mentions us gets no answer, and neither do we ourselves; all of it is acknowledged."""
    async with serving(fake, make_settings(slack=slack_settings(fake))):
        theirs = fake.happen("app_mention", text="who?", bot_id="B9", subtype="bot_message")
        asked = fake.happen("app_mention", text="how?")
        await shown(fake, asked)
        await fake.eventually(lambda: not fake.unacked_events())
        assert fake.answers("C1", theirs["ts"]) == []


async def test_thinking_is_shown_at_once(fake: FakeSlack, make_settings: MakeSettings) -> None:
    """Until there is a word of the answer, a status line stands in the thread, and no message."""

    async def never(client: redis.asyncio.Redis, question: Question) -> None:
        """A worker that takes its time."""

    async with serving(fake, make_settings(slack=slack_settings(fake)), never, minute_s=0.4):
        asked = fake.happen("app_mention", text="how?")
        assert await fake.eventually(lambda: fake.visible_status("C1", asked["ts"])) == "Thinking…"
        # It goes away after two minutes, and by then has been renewed.
        await fake.eventually(lambda: len(entered(fake, STATUS)) >= 2)
        assert fake.visible_status("C1", asked["ts"])
        assert fake.answers("C1", asked["ts"]) == []


STATUS = "assistant.threads.setStatus"


async def test_without_a_status_line_there_are_eyes(fake: FakeSlack, make_settings: MakeSettings) -> None:
    """Where Slack does not let us show a status, the question gets a reaction."""
    fake.fail(STATUS, "error", error="missing_scope")
    async with serving(fake, make_settings(slack=slack_settings(fake))):
        asked = fake.happen("app_mention", text="how?")
        await shown(fake, asked)
        await fake.eventually(lambda: fake.visible_messages("C1")[0].reactions == {"eyes": ["UBOT"]})


@pytest.mark.parametrize(
    ("text", "outcome", "said"),
    [
        ("how?", Outcome.NOT_FOUND, phrase("en", "not_found")),
        ("几天假？", Outcome.NOT_FOUND, phrase("zh", "not_found")),
        ("how?", Outcome.FAILED, phrase("en", "failed", id="")),
    ],
    ids=["nothing found", "nothing found, in Chinese", "failed"],
)
async def test_no_question_goes_without_a_word(
    fake: FakeSlack, make_settings: MakeSettings, text: str, outcome: Outcome, said: str
) -> None:
    """What is not an answer is said in one friendly sentence in the question's language."""

    async def script(client: redis.asyncio.Redis, question: Question) -> None:
        await finish(client, FinalAnswer(question.to_wire(), outcome))

    async with serving(fake, make_settings(slack=slack_settings(fake)), script):
        (answer,) = await shown(fake, fake.happen("app_mention", text=text), ends=0)
        assert said in answer.shown
        assert answer.buttons == []


async def test_a_click_reaches_the_question(
    fake: FakeSlack, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """What a person thinks of an answer is kept with the question that it answers."""
    async with serving(fake, make_settings(slack=slack_settings(fake))):
        asked = fake.happen("app_mention", text="how?")
        (answer,) = await shown(fake, asked)
        fake.happen("click", channel="C1", ts=answer.ts, positive=False, user="U3")

        async def feedback() -> Any:
            return [key async for key in redis_client.scan_iter("*feedback*")]

        await until(feedback)
        await fake.eventually(lambda: fake.deliveries.all[-1].state == "acked")


async def test_a_question_edited_at_once_is_answered_as_it_reads(
    fake: FakeSlack, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """A worker that comes after an edit answers the new text, in one message."""
    settings = make_settings(slack=slack_settings(fake))
    # While a first question is being worked on, the second of its thread waits.
    gate: list[Question] = []

    async def script(client: redis.asyncio.Redis, question: Question) -> None:
        gate.append(question)
        await until(lambda: client.get("test:go"))
        text = f"You asked: {question.text}"
        await finish(client, FinalAnswer(question.to_wire(), Outcome.ANSWERED, text))

    async with serving(fake, settings, script):
        first = fake.happen("app_mention", text="first?")
        await fake.eventually(lambda: gate)
        second = fake.happen("app_mention", text="secnd?", thread_ts=first["ts"])
        await fake.eventually(lambda: not fake.unacked_events())
        fake.happen("edit", channel="C1", ts=second["ts"], text="<@UBOT> second?")
        await fake.eventually(lambda: not fake.unacked_events())
        await redis_client.set("test:go", "1")
        answers = await shown(fake, {**second, "thread_ts": first["ts"]}, count=2)
        assert [answer.shown for answer in answers] == ["You asked: first?", "You asked: second?"]


async def test_a_deleted_question_is_not_answered(
    fake: FakeSlack, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """Whoever takes the question back before it is worked on leaves nothing open."""
    gate: list[Question] = []

    async def script(client: redis.asyncio.Redis, question: Question) -> None:
        gate.append(question)

    async with serving(fake, make_settings(slack=slack_settings(fake)), script):
        first = fake.happen("app_mention", text="first?")
        await fake.eventually(lambda: gate)
        second = fake.happen("app_mention", text="second?", thread_ts=first["ts"])
        await fake.eventually(lambda: not fake.unacked_events())
        assert await redis_client.zcard(names.open_key("slack")) == 2
        fake.happen("delete", channel="C1", ts=second["ts"])
        await until(lambda: _open_are(redis_client, 1))


async def _open_are(client: redis.asyncio.Redis, count: int) -> bool:
    return int(await client.zcard(names.open_key("slack"))) == count


async def test_only_needed_scopes_are_used(make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scopes of the manifest in the documentation are enough for everything that is asked of Slack."""
    remove_proxies(monkeypatch)
    scopes = set(BOT_SCOPES) - {"assistant:write", "reactions:read", "users:read"}
    with FakeSlack(time_scale=TIME_SCALE, rules=RULES, scopes=scopes) as fake:
        settings = make_settings(slack=slack_settings(fake, read_back_s=60.0))
        async with serving(fake, settings):
            for kind in ("app_mention", "dm"):
                await shown(fake, fake.happen(kind, text="how?"))
            await shown(fake, fake.happen("app_mention", channel="G1", text="how?"))
        refused = [line for line in fake.journal if line.direction == "out" and "missing_scope" in str(line.payload)]
        # Names are asked for once, and are no need.
        assert [line.kind for line in refused] in ([], ["users.info"])
