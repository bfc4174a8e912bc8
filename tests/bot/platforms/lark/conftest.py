"""A fake Lark, and the real platform that is pointed at it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from bot.chat_event import ChatEvent
from bot.chat_message import ChatMessage
from bot.platform import LinkDeadError
from bot.platforms.lark import LarkPlatform
from bot.platforms.lark.link import LinkTimes
from config.loading import load_settings
from config.platform_sections import LarkSettings
from tests.fakes.lark import FakeLark, Rules
from tests.fakes.lark.chats import VisibleMessage

QUICK = LinkTimes(
    link_timeout_s=20,
    rebuild_after_s=0.8,
    silent_pings=3.0,
    check_s=0.05,
    pause_first_s=0.1,
    pause_last_s=0.2,
    join_within_s=0.3,
)
CLIENT_CONFIG = {"ReconnectNonce": 0, "ReconnectInterval": 0.3, "PingInterval": 0.3}
MakePlatform = Callable[..., LarkPlatform]
Take = Callable[[Any], Awaitable[None]]


@pytest.fixture
def fake() -> Iterator[FakeLark]:
    """A fake Lark whose clocks run so fast that an event comes again after 0.15 s and streaming ends after 6 s."""
    rules = Rules(redelivery_after_s=(15, 15, 15, 15))
    with FakeLark(time_scale=0.01, rules=rules, client_config=CLIENT_CONFIG) as server:
        yield server


def lark_settings(fake: FakeLark, **changes: Any) -> LarkSettings:
    """The settings that point at the fake."""
    named = {name.removeprefix("FENNEL_LARK__").lower(): value for name, value in fake.urls().items()}
    return LarkSettings.model_validate({**load_settings().lark.model_dump(), **named, **changes})


@pytest.fixture
async def make_platform(fake: FakeLark) -> AsyncIterator[MakePlatform]:
    """Platforms that are closed behind the test. What is not named is quick."""
    made: list[LarkPlatform] = []

    def make(settings: dict[str, Any] | None = None, **how: Any) -> LarkPlatform:
        how = {"times": QUICK, "timeout_s": 2.0, "settle_s": 0.1, "rotate_after_s": 5.0, **how}
        made.append(LarkPlatform(lark_settings(fake, **(settings or {})), **how))
        return made[-1]

    yield make
    for platform in made:
        await platform.close()


async def eventually(fake: FakeLark, look: Callable[[], Any], timeout_s: float = 10) -> Any:
    """What `look()` gives as soon as it is true, without holding up the bot's loop."""
    return await asyncio.to_thread(fake.wait_for, look, timeout_s)


class Heard:
    """Keeps what it receives; raises as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.events: list[ChatEvent] = []
        self.failures = failures

    async def __call__(self, event: ChatEvent) -> None:
        """Take an event in, or raise."""
        if self.failures:
            self.failures -= 1
            raise RuntimeError("Redis is away")
        self.events.append(event)

    @property
    def texts(self) -> list[str]:
        """The words of the messages."""
        return [event.text for event in self.events if isinstance(event, ChatMessage)]


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


@contextlib.asynccontextmanager
async def listening(fake: FakeLark, platform: LarkPlatform, receive: Take) -> AsyncIterator[asyncio.Task[None]]:
    """The platform listens, connected, while the block runs."""
    task = asyncio.create_task(platform.listen(receive))
    try:
        await eventually(fake, lambda: fake.link.connections or task.done())
        yield task
    finally:
        await platform.close()
        with contextlib.suppress(LinkDeadError):
            await task


def outcomes(fake: FakeLark) -> list[list[str]]:
    """What became of each delivery's attempts."""
    return [delivery.outcomes for delivery in fake.deliveries.all]


async def acknowledged(fake: FakeLark) -> None:
    """Wait until everything is acknowledged."""
    await eventually(fake, lambda: fake.deliveries.all and not fake.unacked_events())
