"""What every platform does alike: each passes these tests against its fake."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis.asyncio

from bot import rendering
from bot.chat_event import ChatEvent
from bot.chat_message import ChatMessage
from bot.intake import question_of
from bot.platform import Platform, SendLaterError
from config.settings import Settings
from contract.answer import FinalAnswer, Outcome
from contract.question import Question
from tests.bot.answering import CITATION
from tests.bot.conftest import MakeSettings, hold, until
from tests.bot.manners.conftest import PLATFORMS, make_stage
from tests.bot.manners.stage import ANN, Said, Stage
from tests.fakes.slack_clients import remove_proxies

WITHIN_S = 10.0
TALK = "talk"


@pytest.fixture(params=PLATFORMS)
def stage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """Each platform in turn."""
    remove_proxies(monkeypatch)
    with contextlib.ExitStack() as stack:
        yield make_stage(request.param, tmp_path, stack)


@pytest.fixture
def settings(stage: Stage, make_settings: MakeSettings) -> Settings:
    """The settings that lead the platform to its fake."""
    return make_settings(**stage.sections())


class Listening:
    """Listens to a platform and keeps what it hands over, each message once."""

    def __init__(self, stage: Stage, platform: Platform) -> None:
        self.stage = stage
        self.platform = platform
        self._messages: asyncio.Queue[ChatMessage] = asyncio.Queue()
        self._known: set[str] = set()
        self._task = asyncio.create_task(platform.listen(self._receive))

    async def ready(self) -> None:
        """Return when the platform is connected."""

        async def is_ready() -> bool:
            return self.stage.ready()

        await until(is_ready)

    async def _receive(self, event: ChatEvent) -> None:
        assert isinstance(event, ChatMessage)
        if event.message_id not in self._known:
            self._known.add(event.message_id)
            await self._messages.put(event)

    async def hear(self, text: str) -> tuple[Said, Question]:
        """Somebody asks; what they said, and the question that comes of it."""

        def say() -> Said:
            return self.stage.say(text, ANN, TALK)

        said = say() if self.stage.name == "console" else await asyncio.to_thread(say)
        async with asyncio.timeout(WITHIN_S):
            message = await self._messages.get()
        return said, question_of(message, message.at_s)

    async def end(self) -> None:
        """Close the platform; `listen` has to return."""
        await self.platform.close()
        async with asyncio.timeout(WITHIN_S):
            await self._task


@pytest.fixture
async def listening(stage: Stage, settings: Settings, redis_client: redis.asyncio.Redis) -> AsyncIterator[Listening]:
    """The stage's platform, listened to."""
    platform = stage.platform(settings)
    await hold(platform, redis_client)
    one = Listening(stage, platform)
    await one.ready()
    yield one
    await one.end()


def final(question: Question, text: str) -> FinalAnswer:
    """An answer with a source."""
    return FinalAnswer(question.to_wire(), Outcome.ANSWERED, text, (CITATION,))


async def begin(platform: Platform, question: Question) -> str:
    """Show the beginning of an answer; a platform that says otherwise that it thinks has no message before it."""
    try:
        return await platform.send(rendering.thinking(question))
    except SendLaterError:
        return await platform.send(rendering.growing(question, "Thirty"))


async def test_a_message_comes_in_whole(listening: Listening) -> None:
    """A mention arrives without the mention, with who wrote it, where and when, and an id of its own."""
    (_, first), (_, second) = await listening.hear("one 二 & *more*"), await listening.hear("two")
    stage = listening.stage
    assert (first.text, second.text) == ("one 二 & *more*", "two")
    assert first.id != second.id
    assert (first.platform, first.tenant, first.channel) == (stage.name, stage.tenant, stage.channel_id(TALK))
    assert first.asker == stage.person_id(ANN)
    assert first.asked_at_s <= second.asked_at_s


async def test_an_answer_grows_and_ends_in_one_place(listening: Listening) -> None:
    """What is sent is edited until the end, and the end is seen once with its sources."""
    said, question = await listening.hear("How many days off?")
    sent_id = await begin(listening.platform, question)
    await listening.platform.edit(sent_id, rendering.growing(question, "Thirty days"))
    assert not any("handbook" in shown for shown in listening.stage.ends(said))
    await listening.platform.edit(sent_id, rendering.ended(question, final(question, "Thirty days.")))
    (end,) = listening.stage.ends(said)
    assert "Thirty days." in end
    assert "handbook/holidays.md" in end


async def test_an_end_can_be_sent_at_once(listening: Listening) -> None:
    """An answer that needs no time is a message like any other."""
    said, question = await listening.hear("How many days off?")
    assert await listening.platform.send(rendering.ended(question, final(question, "Thirty days.")))
    (end,) = listening.stage.ends(said)
    assert "Thirty days." in end


async def test_a_reply_is_found_by_a_new_process(listening: Listening, settings: Settings) -> None:
    """After a crash the reply to a question is found and goes on, and no other one is; WeCom lets nobody look."""
    (said, question), (_, other) = await listening.hear("one"), await listening.hear("two")
    assert await listening.platform.find(question) is None
    sent_id = await begin(listening.platform, question)
    if listening.stage.name == "wecom":
        assert await listening.platform.find(question) is None
        return
    again = listening.stage.platform(settings)
    found = await again.find(question)
    assert found is not None
    assert await again.find(other) is None
    await again.edit(sent_id, rendering.ended(question, final(question, "Thirty days.")))
    assert len(listening.stage.ends(said)) == 1
    await again.close()


async def test_closing_ends_the_listening(stage: Stage, settings: Settings) -> None:
    """`listen` returns when the platform is closed, and closing twice is closing once."""
    listening = Listening(stage, stage.platform(settings))
    await listening.ready()
    await listening.hear("How many days off?")
    await listening.end()
    await listening.platform.close()
