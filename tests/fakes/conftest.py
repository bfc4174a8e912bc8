"""Fixtures that the tests of the fake platforms share."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.node_peer import NodePeer, install_packages
from tests.fakes.wecom import FakeWeCom
from tests.fakes.wecom_peers import OpenBot, SdkBot


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
