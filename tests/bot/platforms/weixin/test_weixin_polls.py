"""Polling WeChat: no message is lost, and none is taken in twice, whatever becomes of a poll or of the process."""

from __future__ import annotations

import asyncio

import pytest
import redis.asyncio

from bot.chat_event import ChatEvent
from bot.chat_message import ChatMessage
from bot.inbox import InboxError
from bot.lock import LockHeldError
from bot.platforms.weixin.records import Records
from contract import names
from tests.bot.answering import answering
from tests.bot.conftest import MakeSettings, running_bot
from tests.bot.crashing import Crash
from tests.bot.platforms.weixin.conftest import USER, calls, linked_bot, shown, weixin, when, write
from tests.fakes.wecom import FakeWeCom
from tests.valkey import ValkeyServer


async def test_the_cursor_is_stored_after_the_question(fake: FakeWeCom, make_settings: MakeSettings) -> None:
    """What Redis did not take is fetched again with the old cursor; the new one is given only then."""
    got: list[str] = []
    failures = iter([True, True, False])

    async def receive(event: ChatEvent) -> None:
        assert isinstance(event, ChatMessage)
        if next(failures):
            assert len(fake.ilink.unacknowledged()) == 1
            raise InboxError("Redis took nothing in")
        got.append(event.text)

    settings = make_settings()
    platform = weixin(fake, settings)
    listening = asyncio.create_task(platform.listen(receive))
    await write(fake)
    await when(fake, lambda: not fake.ilink.unacknowledged())
    await platform.close()
    await listening
    assert got == ["怎么部署？"]


async def test_a_crash_before_the_cursor_is_stored_makes_no_second_question(
    fake: FakeWeCom, make_settings: MakeSettings, redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that dies between the question and its cursor gets the message again, and it is one question."""
    settings = make_settings()

    async def die(_records: Records, _bot_id: str, _cursor: str) -> None:
        raise Crash

    monkeypatch.setattr(Records, "keep_cursor", die)

    async def ask_and_crash() -> None:
        async with linked_bot(fake, settings) as bot:
            await write(fake)
            await asyncio.wait([bot], timeout=10)

    with pytest.raises(BaseExceptionGroup):
        await ask_and_crash()
    monkeypatch.undo()
    assert await redis_client.llen(names.QUEUE_KEY) == 1
    assert len(fake.ilink.unacknowledged()) == 1
    async with linked_bot(fake, settings):
        await when(fake, lambda: not fake.ilink.unacknowledged())
        assert await redis_client.llen(names.QUEUE_KEY) == 1


async def test_what_was_written_while_the_bot_was_away_is_answered(
    fake: FakeWeCom, make_settings: MakeSettings, valkey: ValkeyServer
) -> None:
    """WeChat keeps messages until the cursor comes back: nothing of a gap is lost, and nothing old is asked again."""
    settings = make_settings()
    async with answering(valkey.address):
        async with linked_bot(fake, settings):
            await write(fake, "one")
            await shown(fake, 1)
            await when(fake, lambda: not fake.ilink.unacknowledged())
        await write(fake, "two")
        async with linked_bot(fake, settings):
            await shown(fake, 2)
    assert [message.content.splitlines()[0] for message in fake.bot_messages(USER)] == [
        "You asked: one",
        "You asked: two",
    ]


@pytest.mark.parametrize(
    ("fault", "detail"),
    [("status", {"status": 502}), ("abort", {}), ("broken_json", {}), ("ret", {"ret": -1}), ("commit_then_abort", {})],
    ids=["status", "abort", "broken json", "ret", "commit then abort"],
)
async def test_polls_that_fail_are_done_again(
    fake: FakeWeCom, make_settings: MakeSettings, valkey: ValkeyServer, fault: str, detail: dict[str, int]
) -> None:
    """Whatever becomes of a poll, the message comes with the next one, and is answered once."""
    fake.fail("getupdates", fault, times=2, **detail)
    async with linked_bot(fake, make_settings()), answering(valkey.address):
        await write(fake)
        await shown(fake)
        await when(fake, lambda: not fake.ilink.unacknowledged())
    assert len(fake.bot_messages(USER)) == 1


async def test_a_message_that_cannot_be_taken_in_holds_up_no_other(
    fake: FakeWeCom, make_settings: MakeSettings
) -> None:
    """A fault of ours with one message is logged, and the next messages are taken."""
    got: list[str] = []

    async def receive(event: ChatEvent) -> None:
        assert isinstance(event, ChatMessage)
        if event.text == "poison":
            raise RuntimeError("a fault of ours")
        got.append(event.text)

    platform = weixin(fake, make_settings())
    listening = asyncio.create_task(platform.listen(receive))
    await write(fake, "poison")
    await write(fake, "good")
    await when(fake, lambda: not fake.ilink.unacknowledged())
    await platform.close()
    await listening
    assert got == ["good"]


async def test_a_second_bot_is_kept_out_by_the_lock(fake: FakeWeCom, make_settings: MakeSettings) -> None:
    """Two bots with one login would fetch each other's messages: the second one does not even poll."""
    settings = make_settings()
    async with linked_bot(fake, settings):
        await when(fake, lambda: calls(fake, "getupdates"))
        with pytest.raises(LockHeldError):
            async with running_bot(weixin(fake, settings), settings) as second:
                await asyncio.wait([second])
