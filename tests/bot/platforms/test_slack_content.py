"""What is said in Slack: long answers, many answers, and what must not be said."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis.asyncio

from contract.question import Question
from tests.bot.answering import finish, publish
from tests.bot.conftest import MakeSettings
from tests.bot.platforms.slack_script import WHOLE, WORDS, seen
from tests.bot.platforms.slack_stage import (
    BROKEN_CALLS,
    BROKEN_IDS,
    TIME_SCALE,
    answered,
    entered,
    serving,
    shown,
    slack_settings,
)
from tests.fakes.slack import FakeSlack, Rules
from tests.fakes.slack_clients import remove_proxies

RULES = Rules(ack_timeout_s=1.0)


# --- long answers


@pytest.mark.parametrize(
    ("unit", "letter", "how"),
    [("characters", "汉", "at once"), ("utf16", "😀", "at once"), ("characters", "a", "growing")],
)
async def test_a_long_answer_is_several_messages(
    monkeypatch: pytest.MonkeyPatch, make_settings: MakeSettings, unit: str, letter: str, how: str
) -> None:
    """An answer above Slack's limits comes whole, in order, the sources below its last part."""
    remove_proxies(monkeypatch)
    paragraphs = [f"{number}: {letter * 400}" for number in range(60)]
    whole = "\n\n".join(paragraphs)
    rules = Rules(ack_timeout_s=1.0, length_unit=unit)
    with FakeSlack(time_scale=TIME_SCALE, rules=rules) as fake:
        steps = [whole[:1_000], whole[:9_000]] if how == "growing" else []

        async def script(client: redis.asyncio.Redis, question: Question) -> None:
            for text in steps:
                await publish(client, question, text)
                await fake.eventually(lambda: seen(fake, question))
            await finish(client, answered(question, whole))

        async with serving(fake, make_settings(slack=slack_settings(fake)), script):
            count = 5 if letter == "😀" else 3
            answers = await shown(fake, fake.happen("app_mention"), count=count, ends=1)
        shown_text = "\n\n".join(answer.shown for answer in answers)
        assert [line for line in shown_text.splitlines() if line.endswith(letter * 400)] == paragraphs
        assert [answer.buttons for answer in answers] == [[]] * (count - 1) + [["fennel_feedback"]]


@pytest.mark.parametrize(("name", "detail"), BROKEN_CALLS[::4], ids=BROKEN_IDS[::4])
async def test_a_long_answer_that_breaks_in_its_middle_is_whole(
    fake: FakeSlack, make_settings: MakeSettings, name: str, detail: dict[str, Any]
) -> None:
    """Whatever happens to the second of three messages, there are three in the end, each once."""
    whole = "\n\n".join(f"{number}: {'a' * 400}" for number in range(60))

    async def script(client: redis.asyncio.Redis, question: Question) -> None:
        await publish(client, question, whole[:100])
        await fake.eventually(lambda: seen(fake, question))
        fake.fail("chat.postMessage", name, **detail)
        await finish(client, answered(question, whole))

    async with serving(fake, make_settings(slack=slack_settings(fake)), script):
        answers = await shown(fake, fake.happen("app_mention"), count=3, ends=1)
        text = "\n\n".join(answer.shown for answer in answers)
        assert [f"{number}: aaa" in text for number in range(60)] == [True] * 60
        assert len(answers) == 3


# --- rates, and what must not be said


async def test_many_answers_at_once_stay_below_the_rates(
    monkeypatch: pytest.MonkeyPatch, make_settings: MakeSettings
) -> None:
    """Thirty answers at once, all of them growing, come one and all, with no call above Slack's rates."""
    remove_proxies(monkeypatch)
    scale = TIME_SCALE / 2

    async def script(client: redis.asyncio.Redis, question: Question) -> None:
        for step in range(5):
            await publish(client, question, "".join(WORDS[: step + 1]))
            await asyncio.sleep(0.1)
        await finish(client, answered(question, WHOLE))

    with FakeSlack(time_scale=scale, rules=RULES) as fake:
        async with serving(fake, make_settings(slack=slack_settings(fake)), script, minute_s=60 * scale):
            asked = [fake.happen("app_mention", channel=f"C{number % 5 + 1}") for number in range(30)]
            for one in asked:
                (answer,) = await shown(fake, one, timeout_s=30)
                assert answer.shown.startswith(WHOLE)
        assert fake.sends_above_rate() == []


@pytest.mark.parametrize("how", ["at once", "growing"])
async def test_nobody_is_called_and_nothing_is_loaded(fake: FakeSlack, make_settings: MakeSettings, how: str) -> None:
    """Mentions of everyone, images and previews that a model may have made up do not reach the channel."""
    evil = (
        "Hi <!channel> &lt;!here&gt; @everyone `<!everyone>` ![x](https://evil.example/pixel.png) <!subteam^S1> done."
    )
    steps = ["Hi ", evil[:60], evil[:90]] if how == "growing" else []

    async def script(client: redis.asyncio.Redis, question: Question) -> None:
        for text in steps:
            await publish(client, question, text)
            await fake.eventually(lambda: seen(fake, question))
        await finish(client, answered(question, evil))

    async with serving(fake, make_settings(slack=slack_settings(fake)), script):
        (answer,) = await shown(fake, fake.happen("app_mention"))
        assert "done." in answer.shown
        assert not answer.notifies_everyone
        assert not any("<!" in edit.text for edit in answer.edits)
        assert "evil.example" not in answer.shown
    for post in entered(fake, "chat.postMessage"):
        assert (post["unfurl_links"], post["unfurl_media"]) == (False, False)
