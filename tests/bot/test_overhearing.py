"""What is read along is looked at once, whole, and only when its speaker is silent."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import redis.asyncio

from bot.chat_event import MessageDeleted
from bot.chat_message import ChatMessage
from bot.inbox import InboxError
from bot.overhearing import Overhearing
from contract import names

QUIET_S = 10.0


def said(number: int, text: str, sender: str = "u-ann") -> ChatMessage:
    """Something that somebody said to nobody."""
    return ChatMessage("chat", "team", "general", "general", f"m{number}", sender, "Ann", text, float(number), False)


class Asked:
    """Takes what is handed over; breaks as often as it is told to."""

    def __init__(self, breaks: int = 0) -> None:
        self.texts: list[str] = []
        self.breaks = breaks

    async def __call__(self, message: ChatMessage) -> None:
        """Take it, or break."""
        if self.breaks:
            self.breaks -= 1
            raise InboxError("Redis took nothing in")
        self.texts.append(message.text)


@pytest.fixture
def overhearing(redis_client: redis.asyncio.Redis) -> Overhearing:
    """Of the made-up chat."""
    return Overhearing(redis_client, "chat")


async def test_a_persons_words_come_together(overhearing: Overhearing) -> None:
    """Each person's, in the order in which they were said, once, and not before they are silent."""
    asked = Asked()
    for message in (
        said(2, "how many days?"),
        said(1, "tell me"),
        said(3, "something else", "u-bob"),
        said(1, "tell me"),
    ):
        await overhearing.collect(message, QUIET_S)
    await overhearing.look(time.time(), asked)
    assert asked.texts == []
    for _ in range(2):
        await overhearing.look(time.time() + QUIET_S + 1, asked)
    assert sorted(asked.texts) == ["something else", "tell me\nhow many days?"]


async def test_what_could_not_be_queued_is_kept(overhearing: Overhearing, redis_client: redis.asyncio.Redis) -> None:
    """If Redis or the process fails at the handing over, it is handed over later; then nothing is left."""
    asked = Asked(breaks=1)
    await overhearing.collect(said(1, "how many?"), QUIET_S)
    later_s = time.time() + QUIET_S + 1
    with pytest.raises(InboxError):
        await overhearing.look(later_s, asked)
    await overhearing.look(later_s, asked)
    assert asked.texts == ["how many?"]
    assert not await redis_client.exists(names.overheard_key("chat:team:general"), names.overheard_due_key("chat"))


async def test_whoever_goes_on_speaking_is_waited_for(overhearing: Overhearing) -> None:
    """A word that comes while the others are handed over waits for a silence of its own."""

    async def ask(message: ChatMessage) -> None:
        texts.append(message.text)
        if len(texts) == 1:
            await overhearing.collect(said(2, "one more"), QUIET_S)

    texts: list[str] = []
    await overhearing.collect(said(1, "first"), QUIET_S)
    await overhearing.look(time.time() + QUIET_S + 1, ask)
    assert texts == ["first"]
    await overhearing.look(time.time() + QUIET_S + 1, ask)
    assert texts == ["first", "one more"]


async def test_what_is_edited_or_deleted_or_overtaken(overhearing: Overhearing) -> None:
    """An edit counts as it reads now, what was deleted is gone, and who calls us is not answered twice."""
    asked = Asked()
    for number, text in ((1, "one"), (2, "two")):
        await overhearing.collect(said(number, text), QUIET_S)
    await overhearing.collect(said(3, "bob's", "u-bob"), QUIET_S)
    await overhearing.change(said(1, "uno"))
    await overhearing.change(said(9, "never heard"))
    await overhearing.drop(MessageDeleted("chat", "team", "general", "m2"))
    await overhearing.drop_all_of(replace(said(4, "hey"), sender="u-bob"))
    await overhearing.look(time.time() + QUIET_S + 1, asked)
    assert asked.texts == ["uno"]
