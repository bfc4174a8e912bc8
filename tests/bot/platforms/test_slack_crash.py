"""A bot that is killed with SIGKILL at each step of a delivery: the next one goes on in the same message."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis.asyncio

from config.settings import environment
from contract.question import Question
from tests.bot.answering import finish, publish
from tests.bot.conftest import MakeSettings, running_bot
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
from tests.valkey import ValkeyServer

CHECKOUT = Path(__file__).parents[3]
WHOLE = "word0 word1 word2 end."
STEPS = [
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


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSlack]:
    """A fake Slack on which everything is faster."""
    remove_proxies(monkeypatch)
    with FakeSlack(time_scale=TIME_SCALE, rules=Rules(ack_timeout_s=1.0)) as server:
        yield server


@contextlib.asynccontextmanager
async def bot_that_dies(
    fake: FakeSlack, valkey: ValkeyServer, home: Path, step: str, nth: int
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A bot in a process of its own, connected, that will die at the nth time of a step."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.bot.platforms.slack_bot", "--kill-at", step, "--nth", str(nth)),
        cwd=CHECKOUT,
        env=environment(
            FENNEL_HOME=str(home),
            FENNEL_REDIS__URL=valkey.url,
            FENNEL_BOT__DELIVERY_INTERVAL_S="0.05",
            **fake.urls(),
        ),
    )
    try:
        await fake.eventually(lambda: fake.connected() == 1, 20)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.mark.parametrize(("step", "nth"), STEPS, ids=[f"{step}-{nth}" for step, nth in STEPS])
async def test_a_killed_bot_leaves_one_message(
    fake: FakeSlack, make_settings: MakeSettings, valkey: ValkeyServer, tmp_path: Path, step: str, nth: int
) -> None:
    """Wherever a bot is killed, the asker sees one message in the end, and it is whole."""
    settings = make_settings(slack=slack_settings(fake))

    async def script(client: redis.asyncio.Redis, question: Question) -> None:
        for text in ("word0 ", "word0 word1 ", "word0 word1 word2 "):
            await publish(client, question, text)
            with contextlib.suppress(TimeoutError):
                # A dead bot shows nothing more: then it is the end's turn.
                look = lambda: any(text.strip() in one.text for one in fake.answers("C1", question.thread))  # noqa: B023, E731
                await fake.eventually(look, 1.0)
        await finish(client, answered(question, WHOLE))

    async with scripted(settings.redis_url, script):
        async with bot_that_dies(fake, valkey, tmp_path / "victim", step, nth) as process:
            asked = fake.happen("app_mention")
            assert await asyncio.wait_for(process.wait(), 20) == -signal.SIGKILL
        async with running_bot(slack_platform(settings), settings):
            (answer,) = await shown(fake, asked)
            await fake.eventually(lambda: not fake.unacked_events())
            assert answer.shown.startswith(WHOLE)
    assert len(fake.answers("C1", asked["ts"])) == 1
