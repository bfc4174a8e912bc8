"""Webhook mode: what is believed, and what is acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from bot.chat_event import FeedbackGiven
from bot.chat_message import ChatMessage
from bot.platform import LinkDeadError, PlatformError
from bot.platforms.lark import LarkPlatform, create
from bot.platforms.lark.webhook import ForgedError, Seal
from config.loading import load_settings
from tests.bot.platforms.lark.conftest import Heard, MakePlatform, eventually, lark_settings
from tests.fakes.lark import FakeLark
from tests.fakes.lark.webhook import encrypt, signature

WEBHOOK = {"mode": "webhook", "webhook_port": 0}


@contextlib.asynccontextmanager
async def serving(fake: FakeLark, platform: LarkPlatform, heard: Heard) -> AsyncIterator[str]:
    """The platform serves its webhook while the block runs; gives the address, which the fake knows too."""
    task = asyncio.create_task(platform.listen(heard))
    await eventually(fake, lambda: task.done() or (platform.webhook and platform.webhook.ready.is_set()))
    assert platform.webhook is not None
    fake.webhook_url = f"http://127.0.0.1:{platform.webhook.port}/lark/events"
    try:
        yield fake.webhook_url
    finally:
        await platform.close()
        await task


async def test_a_valid_event_is_taken(fake: FakeLark, make_platform: MakePlatform) -> None:
    """An encrypted and signed event is handed over and answered with 200; so is a button, with a word of thanks."""
    heard = Heard()
    async with serving(fake, make_platform(WEBHOOK), heard):
        message_id = await asyncio.to_thread(fake.say, "why?", mention_bot=True)
        event_id = fake.press(message_id, {"question": "q-1", "verdict": "bad"})
        await eventually(fake, lambda: len(heard.events) == 2 and not fake.unacked_events())
    assert {type(event) for event in heard.events} == {ChatMessage, FeedbackGiven}
    assert fake.delivery(event_id).data == {"toast": {"type": "success", "content": "👎"}}


@pytest.mark.parametrize(
    ("variant", "status"),
    [
        ("bad_signature", 401),
        ("no_signature", 401),
        ("wrong_token", 401),
        ("stale", 401),
        ("unencrypted", 400),
        ("wrong_key", 400),
        ("not_json", 400),
        ("oversized", 413),
    ],
)
async def test_what_is_not_larks_is_refused(
    fake: FakeLark, make_platform: MakePlatform, variant: str, status: int
) -> None:
    """Forged, replayed, plain and oversized requests are answered with 4xx, and nothing is handed over."""
    heard = Heard()
    async with serving(fake, make_platform(WEBHOOK), heard):
        answer = await asyncio.to_thread(fake.post_webhook, variant)
    assert answer.status == status
    assert not heard.events


async def test_the_console_can_check_the_address(fake: FakeLark, make_platform: MakePlatform) -> None:
    """The challenge is given back, signed or not; with another token or unencrypted it is not."""
    async with serving(fake, make_platform(WEBHOOK), Heard()):
        answers = {
            variant: await asyncio.to_thread(fake.verify_webhook, variant)
            for variant in ("valid", "no_signature", "wrong_token", "unencrypted", "bad_signature")
        }
    assert answers["valid"].body == answers["no_signature"].body == '{"challenge": "a-challenge"}'
    assert [answers[variant].status for variant in ("wrong_token", "unencrypted", "bad_signature")] == [401, 400, 401]


async def test_an_event_that_is_not_safe_comes_again(fake: FakeLark, make_platform: MakePlatform) -> None:
    """When the receiver raises, 500 makes Lark deliver the event again."""
    heard = Heard(failures=1)
    async with serving(fake, make_platform(WEBHOOK), heard):
        await asyncio.to_thread(fake.say, "why?", mention_bot=True)
        await eventually(fake, lambda: heard.events and not fake.unacked_events())
    assert fake.deliveries.all[0].outcomes == ["500", "200"]


async def test_other_paths_and_methods_are_nothing(fake: FakeLark, make_platform: MakePlatform) -> None:
    """Only a POST to the one path is looked at."""
    async with serving(fake, make_platform(WEBHOOK), Heard()) as url, aiohttp.ClientSession() as session:
        async with session.get(url) as response:
            assert response.status == 405
        async with session.post(url + "/x") as response:
            assert response.status == 404


@pytest.mark.parametrize("lacking", ["encrypt_key", "verification_token"])
def test_webhook_mode_needs_both_secrets(fake: FakeLark, lacking: str) -> None:
    """Without one of the secrets the platform is not even made."""
    settings = load_settings()
    lark = lark_settings(fake, mode="webhook", **{lacking: ""})
    with pytest.raises(PlatformError, match="FENNEL_LARK__VERIFICATION_TOKEN and FENNEL_LARK__ENCRYPT_KEY"):
        create(settings.model_copy(update={"lark": lark}))
    create(settings.model_copy(update={"lark": lark_settings(fake, **{lacking: ""})}))


def test_the_secret_goes_over_https_only(fake: FakeLark) -> None:
    """Another machine is spoken to over https, or not at all."""
    settings = load_settings()
    with pytest.raises(PlatformError, match="https"):
        create(settings.model_copy(update={"lark": lark_settings(fake, domain="http://open.feishu.cn")}))


async def test_a_port_that_is_taken_ends_the_program(fake: FakeLark, make_platform: MakePlatform) -> None:
    """A webhook that cannot listen says so."""
    platform = make_platform({"mode": "webhook", "webhook_port": fake.port})
    with pytest.raises(LinkDeadError, match=f"127.0.0.1:{fake.port} for lark .* FENNEL_LARK__WEBHOOK_PORT"):
        await platform.listen(Heard())


@pytest.mark.parametrize("age_s", [-301, 301])
def test_a_request_is_good_for_five_minutes(age_s: int) -> None:
    """Older than five minutes, or from a future as far, is refused, though the signature is right."""
    seal, now_s = Seal("key", "token"), time.time()

    def check(at_s: float) -> None:
        stamp = str(int(at_s))
        seal.check_signature(stamp, "n", signature(stamp, "n", "key", b"{}"), b"{}", int(now_s))

    check(now_s - age_s * 0.99)
    with pytest.raises(ForgedError, match="time"):
        check(int(now_s) - age_s)


@pytest.mark.parametrize(
    "sealed",
    ["", "AAAA", "not base64!", "A" * 64, encrypt(b"[1]", "key"), encrypt(b"{", "key")],
    ids=["empty", "short", "not base64", "rubbish", "a list", "half of JSON"],
)
def test_what_does_not_open_is_refused(sealed: Any) -> None:
    """Rubbish in place of an encrypted event is a refusal, and not a crash."""
    with pytest.raises(ForgedError):
        Seal("key", "token").open(b'{"encrypt": "%s"}' % sealed.encode())


def test_bytes_of_a_stranger_are_refused_and_do_no_harm() -> None:
    """Headers that are no text, and a document nested without end, are refusals too."""
    seal = Seal("key", "token")
    with pytest.raises(ForgedError):
        seal.check_signature("\udcff", "\udcff", "\udcff", b"", 0)
    with pytest.raises(ForgedError):
        seal.open(b"[" * 200_000)
