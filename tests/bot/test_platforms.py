"""What every platform does alike: each passes these tests."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from rich.console import Console

from bot import rendering
from bot.chat_event import ChatEvent
from bot.chat_message import ChatMessage
from bot.intake import Facts, Intake, IntakeLimits
from bot.platform import Platform
from bot.platforms.console.platform import ConsolePlatform
from bot.platforms.console.screen import LineScreen
from bot.platforms.console.transcript import Transcript
from contract.answer import FinalAnswer, Outcome
from contract.question import Question
from tests.bot.answering import CITATION
from tests.fakes.chat import FakeChat
from tests.fakes.chat_platform import ChatPlatform

WITHIN_S = 10.0


class Stage(Protocol):
    """A platform with the chat behind it."""

    platform: Platform

    def write(self, text: str) -> None:
        """A person writes a message that mentions the bot."""

    def ends(self) -> list[str]:
        """The ends of questions that are to be seen in the chat now."""

    def restart(self) -> Platform:
        """The same account's platform in a new process."""


class ConsoleStage:
    """The console with somebody who types."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._out = io.StringIO()
        self._typed: asyncio.Queue[bytes] = asyncio.Queue()
        self.platform: Platform = self._make()

    def _make(self) -> ConsolePlatform:
        screen = LineScreen("fennel", Console(file=self._out, width=500))
        return ConsolePlatform("fennel", Transcript(self._folder / "transcript.jsonl"), screen, self._lines())

    async def _lines(self) -> AsyncIterator[bytes]:
        while True:
            yield await self._typed.get()

    def write(self, text: str) -> None:
        """Type it."""
        self._typed.put_nowait(f"@fennel {text}".encode())

    def ends(self) -> list[str]:
        """What was printed, but for the notices."""
        replies = [line for line in self._out.getvalue().splitlines() if line.startswith("fennel → you: ")]
        return [line for line in replies if not line.endswith("Thinking…")]

    def restart(self) -> Platform:
        """A new process has nothing but the transcript."""
        return self._make()


class ChatStage:
    """The made-up platform."""

    def __init__(self, chat: FakeChat) -> None:
        self._chat = chat
        self.platform: Platform = ChatPlatform(chat.url)

    def write(self, text: str) -> None:
        """Write it in the channel."""
        self._chat.write(text)

    def ends(self) -> list[str]:
        """The replies that are ends."""
        return [post.text for post in self._chat.posts.values() if post.is_end]

    def restart(self) -> Platform:
        """A new process has nothing but the account."""
        return ChatPlatform(self._chat.url)


@pytest.fixture(params=["console", "chat"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """Each platform in turn."""
    if request.param == "console":
        yield ConsoleStage(tmp_path)
        return
    with FakeChat(redeliver_after_s=0.2) as chat:
        yield ChatStage(chat)


class Listening:
    """Listens to a platform and keeps what it hands over."""

    def __init__(self, platform: Platform) -> None:
        self.messages: asyncio.Queue[ChatMessage] = asyncio.Queue()
        self._platform = platform
        self._task = asyncio.create_task(platform.listen(self._receive))

    async def _receive(self, event: ChatEvent) -> None:
        assert isinstance(event, ChatMessage)
        await self.messages.put(event)

    async def next_message(self) -> ChatMessage:
        """The next message; raises TimeoutError."""
        async with asyncio.timeout(WITHIN_S):
            return await self.messages.get()

    async def end(self) -> None:
        """Close the platform; `listen` has to return."""
        await self._platform.close()
        async with asyncio.timeout(WITHIN_S):
            await self._task


@pytest.fixture
async def listening(stage: Stage) -> AsyncIterator[Listening]:
    """The stage's platform, listened to."""
    one = Listening(stage.platform)
    yield one
    await one.end()


async def asked(stage: Stage, listening: Listening, text: str = "How many days off?") -> Question:
    """A question that a person has asked on the stage."""
    stage.write(text)
    message = await listening.next_message()
    decision = Intake(IntakeLimits(answer_ttl_s=600)).decide(message, Facts(now_s=message.at_s))
    assert isinstance(decision, Question)
    return decision


def final(question: Question, text: str) -> FinalAnswer:
    """An answer with a source."""
    return FinalAnswer(question.to_wire(), Outcome.ANSWERED, text, (CITATION,))


async def test_a_message_comes_in_whole(stage: Stage, listening: Listening) -> None:
    """A mention arrives without the mention, with who wrote it, where and when, and an id of its own."""
    first, second = await asked(stage, listening, "one 二 <b>&amp;</b>"), await asked(stage, listening, "two")
    assert (first.text, second.text) == ("one 二 <b>&amp;</b>", "two")
    assert first.id != second.id
    assert first.conversation == second.conversation
    assert first.platform == stage.platform.name
    assert first.asker_name


async def test_an_answer_grows_and_ends_in_one_place(stage: Stage, listening: Listening) -> None:
    """What is sent is edited until the end, and the end is seen once with its sources."""
    question = await asked(stage, listening)
    sent_id = await stage.platform.send(rendering.thinking(question))
    await stage.platform.edit(sent_id, rendering.growing(question, "Thirty"))
    assert stage.ends() == []
    await stage.platform.edit(sent_id, rendering.ended(question, final(question, "Thirty days.")))
    (end,) = stage.ends()
    assert "Thirty days." in end


async def test_an_end_can_be_sent_at_once(stage: Stage, listening: Listening) -> None:
    """An answer that needs no time is a message like any other."""
    question = await asked(stage, listening)
    assert await stage.platform.send(rendering.ended(question, final(question, "Thirty days.")))
    (end,) = stage.ends()
    assert "Thirty days." in end


async def test_a_reply_is_found_by_a_new_process(stage: Stage, listening: Listening) -> None:
    """After a crash the reply to a question is found under the id that sending gave, and no other one is."""
    question, other = await asked(stage, listening), await asked(stage, listening, "two")
    assert await stage.platform.find(question) is None
    sent_id = await stage.platform.send(rendering.thinking(question))
    again = stage.restart()
    assert await again.find(question) == sent_id
    assert await again.find(other) is None
    await again.edit(sent_id, rendering.ended(question, final(question, "Thirty days.")))
    assert len(stage.ends()) == 1
    await again.close()


async def test_closing_ends_the_listening(stage: Stage) -> None:
    """`listen` returns when the platform is closed, and closing twice is closing once."""
    listening = Listening(stage.platform)
    await asked(stage, listening)
    await listening.end()
    await stage.platform.close()
