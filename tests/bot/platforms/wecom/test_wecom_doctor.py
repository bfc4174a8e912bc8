"""What `fennel doctor wecom` says of each thing that can be wrong, and that it says no secret."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import pytest
import redis.asyncio

from bot.platforms.wecom import doctor
from contract import names
from contract.finding import Finding
from tests.bot.conftest import MakeSettings, running_bot, until
from tests.bot.platforms.wecom.conftest import callback_bot, linked_bot
from tests.fakes.wecom import FakeWeCom
from tests.fakes.wecom.crypto import new_aes_key
from tests.port import free_port
from tests.valkey import ValkeyServer


def wecom_settings(fake: FakeWeCom, **changed: Any) -> dict[str, Any]:
    """The settings of a bot at the fake."""
    return {
        "ws_url": fake.urls()["FENNEL_WECOM__WS_URL"],
        "bot_id": fake.account.bot_id,
        "secret": fake.account.secret,
        "token": fake.account.token,
        "aes_key": fake.account.aes_key,
        "api_url": fake.url,
    } | changed


async def look(make_settings: MakeSettings, fake: FakeWeCom, url: str = "", **changed: Any) -> dict[str, Finding]:
    """The findings by what they are about."""
    wecom = wecom_settings(fake, **changed)
    found = await doctor.findings(make_settings(url, wecom=wecom) if url else make_settings(wecom=wecom))
    for one in found:
        assert one.is_well != bool(one.cure), "what is not well has a cure, and nothing else has"
        for secret in (fake.account.secret, fake.account.token, fake.account.aes_key, "wrong-secret"):
            assert secret not in one.says + one.cure
    return {one.subject: one for one in found}


async def test_a_good_setup_is_tried_and_let_go(fake: FakeWeCom, make_settings: MakeSettings) -> None:
    """With right id and secret WeCom lets the trial in, which does not stay."""
    found = await look(make_settings, fake)
    assert found["link"].is_well
    assert "no bot of ours was running" in found["link"].says
    await asyncio.to_thread(fake.wait_for, lambda: not fake.long_link.links)


@pytest.mark.parametrize("key", ["bot_id", "secret"])
async def test_a_missing_setting_is_named(fake: FakeWeCom, make_settings: MakeSettings, key: str) -> None:
    """Which setting is missing is said, and nothing is tried."""
    found = await look(make_settings, fake, **{key: ""})
    assert f"FENNEL_WECOM__{key.upper()}" in found["settings"].says
    assert not fake.journal


async def test_a_wrong_secret_is_told(fake: FakeWeCom, make_settings: MakeSettings) -> None:
    """What WeCom refuses is said with where to find the right one."""
    found = await look(make_settings, fake, secret="wrong-secret")
    assert "does not let the bot in (40001)" in found["link"].says
    assert "Bot ID and Secret" in found["link"].cure


async def test_too_many_trials_are_no_wrong_secret(fake: FakeWeCom, make_settings: MakeSettings) -> None:
    """The protection against many subscriptions is told as what it is."""
    fake.fail("aibot_subscribe", "errcode", errcode=45009)
    assert "Wait a minute" in (await look(make_settings, fake))["link"].cure


async def test_a_server_that_cannot_be_reached_or_is_none_is_told(fake: FakeWeCom, make_settings: MakeSettings) -> None:
    """Nobody there, and somebody who hangs up, are told with the address."""
    address = f"ws://127.0.0.1:{free_port()}/"
    found = await look(make_settings, fake, ws_url=address)
    assert address in found["link"].says
    fake.fail("aibot_subscribe", "close")
    assert "does not answer" in (await look(make_settings, fake))["link"].says


async def test_a_bot_that_runs_keeps_its_link(
    fake: FakeWeCom, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """While a bot of ours holds the link, nothing is tried, and that is said; so is a link that is silent."""
    async with linked_bot(fake, make_settings()):
        key = names.wecom_link_key(fake.account.bot_id)
        await until(lambda: redis_client.hget(key, "alive_at_s"))
        found = await look(make_settings, fake)
        assert found["link"].is_well
        assert "a trial would take it away, so none was made" in found["link"].says
        await redis_client.hset(key, mapping={"alive_at_s": repr(time.time() - 500), "gaps_s": "12.0"})
        found = await look(make_settings, fake)
        assert not found["link"].is_well
        assert "12 s were without a link" in found["gaps"].says
        await redis_client.delete(key)
        assert "has not come through" in (await look(make_settings, fake))["link"].says
    assert sum(line.kind == "aibot_subscribe" for line in fake.journal) == 1


async def test_without_redis_nothing_is_tried(fake: FakeWeCom, make_settings: MakeSettings) -> None:
    """Where nobody can tell who holds the link, it is not taken from them."""
    found = await look(make_settings, fake, f"redis://127.0.0.1:{free_port()}/0")
    assert "Redis does not answer" in found["link"].says
    assert not fake.journal


async def test_without_a_server_of_our_own_a_bot_on_this_machine_decides(
    fake: FakeWeCom, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded server serves this machine alone: no bot here, and id and secret can be tried before all starts."""
    settings = make_settings(wecom=wecom_settings(fake), redis={"url": ""})
    monkeypatch.setattr(doctor, "_bot_runs_here", lambda: False)
    assert (await doctor.findings(settings))[0].is_well
    monkeypatch.setattr(doctor, "_bot_runs_here", lambda: True)
    assert "Redis does not answer" in (await doctor.findings(settings))[0].says


async def test_a_bot_on_this_machine_is_recognised() -> None:
    """By how it was started, whoever did that."""
    command = [sys.executable, "-c", "import sys; sys.stdin.read()", "-m", "bot", "wecom"]
    process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE)
    try:
        await until(lambda: asyncio.to_thread(doctor._bot_runs_here))
    finally:
        await process.communicate(b"")


@pytest.mark.parametrize(
    ("changed", "subject"),
    [({"token": ""}, "settings"), ({"aes_key": ""}, "settings"), ({"aes_key": "tooshort"}, "keys")],
    ids=["no token", "no key", "half a key"],
)
async def test_keys_of_callback_mode_are_looked_at(
    fake: FakeWeCom, make_settings: MakeSettings, changed: dict[str, str], subject: str
) -> None:
    """Missing and misshapen keys are named."""
    found = await look(make_settings, fake, mode="callback", **changed)
    assert not found[subject].is_well
    assert "FENNEL_WECOM__" in found[subject].says


async def test_callback_mode_is_verified_as_wecom_does_it(
    fake: FakeWeCom, make_settings: MakeSettings, valkey: ValkeyServer
) -> None:
    """A bot with these keys answers; one with others, and nobody, are told."""
    changed: dict[str, Any] = {"mode": "callback", "callback_port": free_port()}
    found = await look(make_settings, fake, **changed)
    assert "Nothing answers" in found["callback"].says
    assert found["late answers"].is_well
    settings = make_settings()
    platform = callback_bot(fake, settings)
    async with running_bot(platform, settings):
        await until(lambda: asyncio.sleep(0, platform.server.port))
        changed["callback_port"] = platform.server.port
        assert (await look(make_settings, fake, **changed))["callback"].is_well
        found = await look(make_settings, fake, **changed, aes_key=new_aes_key())
        assert "does not answer a verification" in found["callback"].says
        found = await look(make_settings, fake, **changed, api_url=f"http://127.0.0.1:{free_port()}")
        assert not found["late answers"].is_well
