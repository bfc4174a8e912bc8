"""Fixtures that the tests of the fake platforms share."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from tests.fakes.lark import FakeLark
from tests.fakes.lark_caller import Caller
from tests.fakes.node_peer import NodePeer, install_packages
from tests.fakes.slack import FakeSlack
from tests.fakes.slack_clients import Recorder, remove_proxies, web_client
from tests.fakes.wecom import FakeWeCom
from tests.fakes.wecom_peers import OpenBot, SdkBot


@pytest.fixture
def make_fake(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Start fakes as FAKE of the test's file makes them, unless told otherwise."""
    remove_proxies(monkeypatch)
    with contextlib.ExitStack() as stack:
        yield lambda **options: stack.enter_context(request.module.FAKE(**options))


@pytest.fixture
def fake(make_fake: Callable[..., Any]) -> Any:
    """One fake of the test's file."""
    return make_fake()


@pytest.fixture
def client(fake: FakeSlack) -> AsyncWebClient:
    """Slack's own client, pointed at the fake."""
    return web_client(fake)


@pytest.fixture
def question_ts(fake: FakeSlack) -> str:
    """A question in C1 of the fake Slack, so that there is a thread to answer in."""
    return str(fake.happen("app_mention", channel="C1", text="how?")["ts"])


@pytest.fixture
def recorder(fake: FakeSlack) -> Recorder:
    """An app that keeps what the fake Slack tells it."""
    return Recorder(fake)


@pytest.fixture
async def caller(fake: FakeLark) -> AsyncIterator[Caller]:
    """A bare client of the fake Lark."""
    async with Caller(fake) as it:
        yield it


@pytest.fixture(scope="session")
def node_packages() -> Path:
    """The folder with the JavaScript clients, installed. Without Node.js a laptop skips, and CI fails."""
    if shutil.which("npm") is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs Node.js and npm for the clients that prove the fakes")
        pytest.skip("needs Node.js and npm")
    return install_packages()


@pytest.fixture(scope="session")
def wecom_node(node_packages: Path) -> Iterator[NodePeer]:
    """The Node process that holds the bots of Tencent's WeCom client."""
    with NodePeer("wecom_bot.cjs") as peer:
        yield peer


@pytest.fixture
def wecom() -> Iterator[FakeWeCom]:
    """A fake WeCom on the real clock."""
    with FakeWeCom() as server:
        yield server


@pytest.fixture
def open_wecom_bot(wecom_node: NodePeer, wecom: FakeWeCom) -> Iterator[OpenBot]:
    """Open a bot of Tencent's client and wait until it is subscribed, unless told not to."""
    bots: list[SdkBot] = []

    def open_one(name: str = "bot", *, subscribed: bool = True, **options: object) -> SdkBot:
        bot = SdkBot(wecom_node, name, wecom, **options)
        bots.append(bot)
        if subscribed:
            bot.wait("authenticated")
        return bot

    yield open_one
    for bot in bots:
        bot.close()
    wecom_node.events.clear()


@pytest.fixture
def wecom_bot(open_wecom_bot: OpenBot) -> SdkBot:
    """A bot of Tencent's client, subscribed at `wecom`."""
    return open_wecom_bot()
