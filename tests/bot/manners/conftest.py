"""One fake and one bot for each platform, for all tests of a module."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import redis.asyncio

from bot import answer_stream, partial_stream
from config.redis_users import Role
from config.settings import Settings
from tests.bot.conftest import running_bot
from tests.bot.manners.scene import Scene, answer_questions
from tests.bot.manners.stage import BOSS, MALLORY, OWN_CHANNELS, Stage
from tests.bot.manners.stages.chat import ChatStage
from tests.bot.manners.stages.console import ConsoleStage
from tests.bot.manners.stages.lark import LarkStage
from tests.bot.manners.stages.slack import SlackStage
from tests.bot.manners.stages.web import WebStage
from tests.bot.manners.stages.wecom import WeComStage
from tests.fakes.chat import FakeChat
from tests.fakes.lark import FakeLark
from tests.fakes.slack import FakeSlack, Rules
from tests.fakes.slack_clients import remove_proxies
from tests.fakes.wecom import FakeWeCom
from tests.valkey import ValkeyServer

PLATFORMS = ["console", "chat", "slack", "lark", "wecom", "web"]


def make_stage(platform: str, folder: Path, stack: contextlib.ExitStack) -> Stage:
    """The platform with its fake, which is closed with the stack."""
    if platform == "console":
        return ConsoleStage(folder)
    if platform == "chat":
        return ChatStage(stack.enter_context(FakeChat(redeliver_after_s=5.0)))
    if platform == "web":
        return stack.enter_context(contextlib.closing(WebStage()))
    if platform == "slack":
        fake = FakeSlack(time_scale=0.02, rules=Rules(ack_timeout_s=5.0), enforce_rates=False)
        return SlackStage(stack.enter_context(fake))
    if platform == "lark":
        return LarkStage(stack.enter_context(FakeLark(time_scale=0.1)))
    return WeComStage(stack.enter_context(FakeWeCom(time_scale=0.2)))


def settings_of(stage: Stage, url: str, home: Path) -> Settings:
    """The settings that the tests count on: an admin, somebody who is denied, channels of their own kind."""
    channels = {
        stage.key(name): {
            key: [stage.person_id(one) for one in value] if key == "maintainers" else value
            for key, value in own.items()
        }
        for name, own in OWN_CHANNELS.items()
    }
    sections: dict[str, dict[str, Any]] = {
        "redis": {"url": url},
        "bot": {"delivery_interval_s": 0.05},
        "limits": {"person_questions": 0, "group_questions": 0, "overall_questions": 0},
        "access": {
            "admins": [stage.person_key(BOSS)],
            "deny_people": [stage.person_key(MALLORY)],
            "direct_messages": "people",
        },
        "channels": channels,
        **stage.sections(),
    }
    settings = Settings(home=home, **sections)  # type: ignore[arg-type]
    settings.make_folders()
    return settings


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=PLATFORMS)
async def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """A bot that serves one platform, and a small worker."""
    folder = tmp_path_factory.mktemp(request.param)
    server = ValkeyServer()
    with contextlib.ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        stack.callback(server.remove)
        server.start()
        remove_proxies(patch)
        patch.setattr(answer_stream, "BLOCK_MS", 50)
        patch.setattr(partial_stream, "BLOCK_MS", 50)
        stage = make_stage(request.param, folder, stack)
        settings = settings_of(stage, server.url_of(Role.BOT), folder / "home")
        working = asyncio.create_task(answer_questions(server.url))
        async with redis.asyncio.Redis.from_url(server.url, decode_responses=True) as client:
            one = Scene(stage, client)
            async with running_bot(stage.platform(settings), settings):
                await one.until(stage.ready)
                yield one
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
        assert server.denials() == []
