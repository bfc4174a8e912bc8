"""A bot that is killed with SIGKILL at each step of a delivery: the next one goes on in the same message."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator

import pytest
import redis.asyncio

from config.settings import Settings
from contract.question import Question
from tests.bot.answering import finish, publish
from tests.bot.conftest import MakeSettings, running_bot
from tests.bot.platforms.slack_bot import start_bot
from tests.bot.platforms.slack_stage import (
    TIME_SCALE,
    answered,
    scripted,
    shown,
    slack_platform,
    slack_settings,
)
from tests.fakes.slack import FakeSlack, Rules
from tests.fakes.slack_clients import remove_proxies

WHOLE = "word0 word1 word2 end."
LOOKED = "looked for a lost send"
STEPS = [
    ("before sending is written down", 1),
    ("sending is written down", 1),
    ("sent, and not written down", 1),
    ("sent, and written down", 1),
    ("before an edit", 1),
    ("edited", 1),
    ("edited", 2),
    ("an end is read", 1),
    ("before the end is written down", 1),
    ("the end is written down", 1),
]
"""Every step that a delivery comes to without a crash before it."""


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSlack]:
    """A fake Slack on which everything is faster."""
    remove_proxies(monkeypatch)
    with FakeSlack(time_scale=TIME_SCALE, rules=Rules(ack_timeout_s=0.5)) as server:
        yield server


class Grower:
    """Makes an answer grow word by word, as far as anybody shows it; without a bot only its end is left."""

    def __init__(self, fake: FakeSlack) -> None:
        self._fake = fake
        self.bot_is_dead = False

    async def script(self, client: redis.asyncio.Redis, question: Question) -> None:
        """Answer one question."""

        def look() -> bool:
            answers = self._fake.answers("C1", question.thread)
            return self.bot_is_dead or any(text.strip() in one.text for one in answers)

        for text in ("word0 ", "word0 word1 ", "word0 word1 word2 "):
            await publish(client, question, text)
            await self._fake.eventually(look)
        await finish(client, answered(question, WHOLE))


@contextlib.asynccontextmanager
async def bot_that_dies(fake: FakeSlack, settings: Settings, step: str, nth: int = 1) -> AsyncIterator[None]:
    """A bot that is connected, and has died at the nth time of a step when the block is left."""
    before = fake.deliveries.sockets.accepted
    process = start_bot(settings, step, nth)
    try:
        # It may find its end before its link is up, over what an earlier one left.
        await fake.eventually(lambda: fake.deliveries.sockets.accepted > before or not process.is_alive(), 20)
        yield
        await asyncio.to_thread(process.join, 20)
        assert process.exitcode == -signal.SIGKILL
    finally:
        process.kill()


@pytest.mark.parametrize(("step", "nth"), STEPS, ids=[f"{step}-{nth}" for step, nth in STEPS])
async def test_a_killed_bot_leaves_one_message(
    fake: FakeSlack, make_settings: MakeSettings, step: str, nth: int
) -> None:
    """Wherever a bot is killed, the asker sees one message in the end, and it is whole."""
    settings = make_settings(slack=slack_settings(fake))
    grower = Grower(fake)
    async with scripted(settings.redis_address, grower.script):
        async with bot_that_dies(fake, settings, step, nth):
            asked = fake.happen("app_mention")
        grower.bot_is_dead = True
        async with running_bot(slack_platform(settings), settings):
            (answer,) = await shown(fake, asked)
            await fake.eventually(lambda: not fake.unacked_events())
            assert answer.shown.startswith(WHOLE)
    assert len(fake.answers("C1", asked["ts"])) == 1


@pytest.mark.parametrize("before", ["sending is written down", "sent, and not written down"])
async def test_a_bot_killed_while_it_looks_for_a_lost_send_leaves_one_message(
    fake: FakeSlack, make_settings: MakeSettings, before: str
) -> None:
    """A second bot dies over what the first one left in doubt, sent or not: the third shows one whole message."""
    settings = make_settings(slack=slack_settings(fake))
    grower = Grower(fake)
    async with scripted(settings.redis_address, grower.script):
        async with bot_that_dies(fake, settings, before):
            asked = fake.happen("app_mention")
        grower.bot_is_dead = True
        async with bot_that_dies(fake, settings, LOOKED):
            pass
        async with running_bot(slack_platform(settings), settings):
            (answer,) = await shown(fake, asked)
            assert answer.shown.startswith(WHOLE)
    assert len(fake.answers("C1", asked["ts"])) == 1
