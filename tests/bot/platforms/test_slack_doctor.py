"""What `fennel doctor slack` says of each thing that can be wrong, and that it says no secret."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bot.platforms.slack import doctor
from contract.finding import Finding
from tests.bot.conftest import MakeSettings
from tests.bot.platforms.slack_stage import events_url, listening, slack_platform, slack_settings
from tests.fakes.slack import FakeSlack
from tests.fakes.slack.rules import BOT_SCOPES
from tests.fakes.slack.workspace import APP_TOKEN, BOT_TOKEN, SIGNING_SECRET
from tests.fakes.slack_clients import remove_proxies


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSlack]:
    """A fake Slack with the scopes of its rules."""
    remove_proxies(monkeypatch)
    with FakeSlack(time_scale=0.01) as server:
        yield server


async def look(make_settings: MakeSettings, fake: FakeSlack, **changed: Any) -> dict[str, Finding]:
    """The findings by what they are about."""
    found = await doctor.findings(make_settings(slack=slack_settings(fake, **changed)))
    for one in found:
        assert one.is_well != bool(one.cure), "what is not well has a cure, and nothing else has"
        for secret in (BOT_TOKEN, APP_TOKEN, SIGNING_SECRET):
            assert secret not in one.says + one.cure
    return {one.subject: one for one in found}


async def test_a_good_setup_is_well(fake: FakeSlack, make_settings: MakeSettings) -> None:
    """With good tokens, all scopes, a link and a channel, everything is well and said."""
    found = await look(make_settings, fake)
    assert [(name, one.is_well) for name, one in found.items()] == [
        ("bot token", True),
        ("scopes", True),
        ("channels", True),
        ("app token", True),
        ("link", True),
    ]
    assert "fennel in the workspace Fake" in found["bot token"].says
    assert "does not need assistant:write, reactions:read." in found["scopes"].says
    assert "#name-of-c1" in found["channels"].says
    await fake.eventually(lambda: not fake.deliveries.sockets.sockets)


@pytest.mark.parametrize(
    ("mode", "key"), [("socket", "bot_token"), ("socket", "app_token"), ("http", "signing_secret")]
)
async def test_a_missing_secret_is_named(fake: FakeSlack, make_settings: MakeSettings, mode: str, key: str) -> None:
    """Which setting is missing is said, and the rest is looked at all the same."""
    found = await look(make_settings, fake, mode=mode, **{key: ""})
    assert f"FENNEL_SLACK__{key.upper()}" in found["slack settings"].says
    assert len(found) >= 2


@pytest.mark.parametrize(
    ("method", "subject", "setting"),
    [
        ("auth.test", "bot token", "FENNEL_SLACK__BOT_TOKEN"),
        ("apps.connections.open", "app token", "FENNEL_SLACK__APP_TOKEN"),
    ],
)
async def test_a_wrong_token_is_one_finding(
    fake: FakeSlack, make_settings: MakeSettings, method: str, subject: str, setting: str
) -> None:
    """A token that Slack refuses is said with Slack's word for it; the other one is well."""
    fake.fail(method, "error", error="invalid_auth")
    found = await look(make_settings, fake)
    assert [name for name, one in found.items() if not one.is_well] == [subject]
    assert "invalid_auth" in found[subject].says
    assert setting in found[subject].cure


async def test_swapped_tokens_are_both_refused(fake: FakeSlack, make_settings: MakeSettings) -> None:
    """The two tokens in each other's place are told by the beginning that each has to have."""
    found = await look(make_settings, fake, bot_token=APP_TOKEN, app_token=BOT_TOKEN)
    assert {name: one.is_well for name, one in found.items()} == {"bot token": False, "app token": False}
    assert "xoxb-" in found["bot token"].cure
    assert "xapp-" in found["app token"].cure


async def test_an_app_token_without_its_scope_is_told(fake: FakeSlack, make_settings: MakeSettings) -> None:
    """An app token that may not connect needs connections:write, and nothing else is said of it."""
    fake.fail("apps.connections.open", "error", error="missing_scope")
    found = await look(make_settings, fake)
    assert "connections:write" in found["app token"].says
    assert "link" not in found


async def test_missing_scopes_are_named(monkeypatch: pytest.MonkeyPatch, make_settings: MakeSettings) -> None:
    """Each scope that the bot token lacks is named; channels that cannot be listed for it are told."""
    remove_proxies(monkeypatch)
    with FakeSlack(scopes=set(BOT_SCOPES) - {"chat:write", "groups:read"}) as fake:
        found = await look(make_settings, fake)
    assert found["scopes"].says == "The bot token has not got chat:write, groups:read."
    assert "OAuth & Permissions" in found["scopes"].cure
    assert "missing_scope" in found["channels"].says
    assert found["bot token"].is_well


async def test_a_bot_in_no_channel_is_told_to_be_invited(fake: FakeSlack, make_settings: MakeSettings) -> None:
    """Who is in no channel hears nothing there."""
    for channel in ("C1", "G1"):
        fake.happen("channel", channel=channel, is_member=False)
    found = await look(make_settings, fake)
    assert "/invite @fennel" in found["channels"].cure


async def test_many_channels_are_counted_page_by_page(
    fake: FakeSlack, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few are named, and the others counted."""
    monkeypatch.setattr(doctor, "PAGE", 3)
    for number in range(10, 20):
        fake.happen("channel", channel=f"C{number}")
    found = await look(make_settings, fake)
    assert found["channels"].says.endswith(" and 7 more.")


@pytest.mark.parametrize(
    ("fault", "detail"), [("http", {"status": 503}), ("broken_json", {}), ("drop", {})], ids=["503", "broken", "drop"]
)
async def test_a_slack_that_stumbles_is_told(
    fake: FakeSlack, make_settings: MakeSettings, fault: str, detail: dict[str, Any]
) -> None:
    """An answer that is none is a finding, not a traceback."""
    for method in ("auth.test", "apps.connections.open"):
        fake.fail(method, fault, **detail)
    found = await look(make_settings, fake)
    assert {name: one.is_well for name, one in found.items()} == {"bot token": False, "app token": False}


async def test_a_slack_that_is_away_is_told(fake: FakeSlack, make_settings: MakeSettings) -> None:
    """Where nobody answers, the network is to be looked at."""
    found = await look(make_settings, fake, api_url="http://127.0.0.1:9/api/")
    assert "cannot be reached at http://127.0.0.1:9/api/" in found["bot token"].says
    assert "network" in found["app token"].cure


@pytest.mark.parametrize(
    ("fault", "detail", "says"),
    [
        ("refuse", {"status": 403}, "status 403"),
        ("disabled", {}, "Socket Mode is switched off"),
    ],
)
async def test_a_link_that_does_not_open_is_told(
    fake: FakeSlack, make_settings: MakeSettings, fault: str, detail: dict[str, Any], says: str
) -> None:
    """A link that Slack refuses, or closes because Socket Mode is off, is told apart."""
    fake.fail("link", fault, **detail)
    found = await look(make_settings, fake)
    assert [name for name, one in found.items() if not one.is_well] == ["link"]
    assert says in found["link"].says


async def test_http_mode_needs_a_bot_that_listens(fake: FakeSlack, make_settings: MakeSettings) -> None:
    """In HTTP mode it is said whether anything listens where Slack's requests are to arrive."""
    http = {"mode": "http", "app_token": ""}
    platform = slack_platform(make_settings(slack=slack_settings(fake, **http)))
    async with listening(fake, platform):
        port = int(events_url(platform).split(":")[2].split("/")[0])
        assert (await look(make_settings, fake, **http, http_port=port))["link"].is_well
    found = await look(make_settings, fake, **http, http_port=port)
    assert f"Nothing listens on 127.0.0.1:{port}" in found["link"].says
