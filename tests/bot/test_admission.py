"""Token buckets: shared, fair, on the server's clock."""

from __future__ import annotations

import asyncio
from typing import Any

import redis.asyncio

from bot.admission import Admission, Admissions
from bot.chat_message import ChatMessage
from config.sections import LimitsSettings
from contract import names

WINDOW_S = 2.0


def limits(**changes: Any) -> LimitsSettings:
    """Limits that nobody reaches unless named."""
    values = {"person_questions": 0, "group_questions": 0, "overall_questions": 0, "bot_turns": 10}
    return LimitsSettings(**({"window_s": WINDOW_S, "bot_window_s": 600.0} | values | changes))


def message(number: int, **changes: Any) -> ChatMessage:
    """A mention in the channel `general` by u-ann."""
    values: dict[str, Any] = {
        "platform": "chat",
        "tenant": "team",
        "channel": "general",
        "thread": f"t{number}",
        "message_id": f"m{number}",
        "sender": "u-ann",
        "sender_name": "Ann",
        "text": "how?",
        "at_s": 0.0,
        "mentions_us": True,
    }
    return ChatMessage(**(values | changes))


class Asker:
    """Asks for admissions, each under a number of its own."""

    def __init__(self, client: redis.asyncio.Redis, **changes: Any) -> None:
        self._admissions = Admissions(client, limits(**changes))
        self._count = 0

    async def ask(self, *, is_free: bool = False, in_doubt: bool = False, **changes: Any) -> Admission:
        """Ask for the next message."""
        self._count += 1
        return await self._admissions.ask(
            message(self._count, **changes), f"q-{self._count}", in_doubt=in_doubt, is_free=is_free
        )


async def test_a_bucket_fills_again_evenly(redis_client: redis.asyncio.Redis) -> None:
    """A person has as many questions as the bucket holds, and gets one back after its share of the window."""
    asker = Asker(redis_client, person_questions=4)
    assert [(await asker.ask()).short for _ in range(4)] == [""] * 4
    short = await asker.ask()
    assert short.short == "person"
    assert 0 < short.wait_s <= WINDOW_S / 4
    await asyncio.sleep(short.wait_s + 0.02)
    assert [(await asker.ask()).short for _ in range(2)] == ["", "person"]


async def test_each_level_has_its_own(redis_client: redis.asyncio.Redis) -> None:
    """A person in one group, a group, all together; whoever is short at one level spends nothing at another."""
    asker = Asker(redis_client, person_questions=2, group_questions=3, overall_questions=4)
    for _ in range(2):
        assert (await asker.ask()).short == ""
    for _ in range(3):
        assert (await asker.ask()).short == "person"
    assert (await asker.ask(sender="u-bob")).short == ""
    assert (await asker.ask(sender="u-bob")).short == "group"
    assert (await asker.ask(channel="random")).short == ""
    assert (await asker.ask(channel="other")).short == "overall"


async def test_processes_share_the_buckets(redis_client: redis.asyncio.Redis) -> None:
    """Many at once, through several clients, get no more than there is."""
    askers = [Asker(redis_client, group_questions=20, window_s=600.0) for _ in range(4)]
    for place, asker in enumerate(askers):
        asker._count = 1_000 * place
    found = await asyncio.gather(*(asker.ask(sender=f"u{n}") for asker in askers for n in range(25)))
    assert sum(one.short == "" for one in found) == 20


async def test_one_notice_a_window_and_its_event_again(redis_client: redis.asyncio.Redis) -> None:
    """The first refused message is told, later ones are not; the first one delivered again is told again."""
    admissions = Admissions(redis_client, limits(person_questions=1, window_s=600.0))

    async def ask(number: int) -> tuple[str, bool]:
        admission = await admissions.ask(message(number), f"q-{number}", in_doubt=False, is_free=False)
        return admission.short, admission.tells

    assert [await ask(number) for number in (1, 2, 3, 2)] == [
        ("", False),
        ("person", True),
        ("person", False),
        ("person", True),
    ]


async def test_the_same_event_is_charged_once(redis_client: redis.asyncio.Redis) -> None:
    """A twin, or a delivery that failed behind the admission, costs nothing more."""
    admissions = Admissions(redis_client, limits(person_questions=2, window_s=600.0))
    for _ in range(5):
        assert (await admissions.ask(message(1), "q-1", in_doubt=False, is_free=False)).short == ""
    assert (await admissions.ask(message(2), "q-2", in_doubt=False, is_free=False)).short == ""


async def test_what_is_not_for_us_or_free_costs_nothing(redis_client: redis.asyncio.Redis) -> None:
    """Other people's threads, paused channels and admins leave the buckets as they are."""
    asker = Asker(redis_client, person_questions=1, window_s=600.0)
    for _ in range(3):
        assert not (await asker.ask(in_doubt=True)).thread_is_ours
        assert (await asker.ask(is_free=True)).short == ""
    await redis_client.hset(names.channel_key("chat:team:general"), "paused", "1")
    assert (await asker.ask()).is_paused
    await redis_client.hdel(names.channel_key("chat:team:general"), "paused")
    assert (await asker.ask()).short == ""
    assert (await asker.ask()).short == "person"


async def test_an_admins_limit_holds_in_its_channel_alone(redis_client: redis.asyncio.Redis) -> None:
    """What `limit` set in a channel goes before the settings there."""
    await redis_client.hset(names.channel_key("chat:team:general"), "person_questions", "1")
    asker = Asker(redis_client, person_questions=3, window_s=600.0)
    assert [(await asker.ask()).short for _ in range(2)] == ["", "person"]
    assert [(await asker.ask(channel="random")).short for _ in range(3)] == [""] * 3


async def test_two_bots_do_not_go_on_for_ever(redis_client: redis.asyncio.Redis) -> None:
    """Another bot gets ten answers in ten minutes in a channel, however many threads it opens."""
    asker = Asker(redis_client)
    found = [(await asker.ask(from_bot=True, sender="bot-2", is_free=True)).short for _ in range(12)]
    assert found == [""] * 10 + ["bot"] * 2
    assert (await asker.ask(from_bot=True, sender="bot-3")).short == ""
