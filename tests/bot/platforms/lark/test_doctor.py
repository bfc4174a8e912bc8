"""What ``fennel doctor lark`` says of each thing that can be wrong, and that it says no secret."""

from __future__ import annotations

from typing import Any

import pytest

from bot.platforms.lark import doctor
from bot.platforms.lark.api import LarkApi
from config.environment import CHECKOUT
from config.loading import load_settings
from contract.finding import Finding
from tests.bot.platforms.lark.conftest import lark_settings
from tests.fakes.lark import FakeLark


async def look(fake: FakeLark, **changes: Any) -> dict[str, Finding]:
    """The findings by what they are about."""
    settings = load_settings().model_copy(update={"lark": lark_settings(fake, **changes)})
    found = await doctor.findings(settings)
    for one in found:
        assert one.is_well != bool(one.cure), "what is not well has a cure, and nothing else has"
        for secret in (fake.app_secret, fake.verification_token, fake.encrypt_key):
            assert secret not in one.says + one.cure
    return {one.subject: one for one in found}


def sick(found: dict[str, Finding]) -> list[str]:
    """What is not well."""
    return [name for name, one in found.items() if not one.is_well]


async def test_a_good_setup_is_well(fake: FakeLark) -> None:
    """With the right secret, a bot, its permissions and a way for events, everything is well; nothing is connected."""
    found = await look(fake)
    assert list(found) == ["domain", "app secret", "bot", "permissions", "long connection"]
    assert not sick(found)
    assert "Fennel" in found["bot"].says
    assert not [line for line in fake.journal if line.kind == "connected"]


@pytest.mark.parametrize("key", ["app_id", "app_secret"])
async def test_a_setting_that_is_missing_is_named(fake: FakeLark, key: str) -> None:
    """Without the app's id or secret Lark is not asked at all."""
    found = await look(fake, **{key: ""})
    assert sick(found) == ["settings"]
    assert f"FENNEL_LARK__{key.upper()}" in found["settings"].says
    assert not fake.journal


async def test_the_secret_is_not_sent_where_it_is_not_safe(fake: FakeLark) -> None:
    """A domain that is not https is a finding, and nobody is asked."""
    for domain in ("http://open.feishu.cn", "open.feishu.cn", ""):
        found = await look(fake, domain=domain)
        assert sick(found) == ["domain"]
        assert "open.larksuite.com" in found["domain"].cure
    assert "Feishu" in (await look(fake, domain="https://open.feishu.cn", app_id=""))["domain"].says


async def test_a_wrong_secret_is_told(fake: FakeLark) -> None:
    """A secret that Lark refuses is one finding, and nothing is said of what could not be seen."""
    found = await look(fake, app_secret="of-another-app")
    assert sick(found) == ["app secret"]
    assert "of-another-app" not in found["app secret"].says
    assert "long connection" not in found


async def test_an_app_without_a_bot_is_told(fake: FakeLark) -> None:
    """Where the app has no bot, or the organisation has not enabled it, the step that mends it is named."""
    fake.fail("bot.info", "code", code=230006)
    found = await look(fake)
    assert sick(found) == ["bot"]
    assert "step" in found["bot"].cure
    fake.change_rules(bot_status=3)
    found = await look(fake)
    assert sick(found) == ["bot"]
    assert "not enabled" in found["bot"].says


@pytest.mark.parametrize("lacking", doctor.NEEDED)
async def test_each_permission_that_is_missing_is_named(fake: FakeLark, lacking: str) -> None:
    """A permission that is asked for and not granted is told by name, the others are not."""
    granted = tuple(name for name in doctor.NEEDED if name != lacking)
    fake.change_rules(scopes=granted, scopes_not_granted=(lacking,))
    found = await look(fake)
    assert sick(found) == ["permissions"]
    assert found["permissions"].says == f"The app lacks {lacking}."


@pytest.mark.parametrize("page", ["lark.md", "lark.zh.md"])
def test_the_docs_name_every_permission(page: str) -> None:
    """What doctor asks for, in both languages, is what the steps tell to add."""
    text = (CHECKOUT / "docs" / page).read_text(encoding="utf-8")
    for name in (*doctor.NEEDED, *doctor.WORTHWHILE):
        assert f"`{name}`" in text


async def test_optional_permissions_are_told_and_no_fault(fake: FakeLark) -> None:
    """What the app would gain by one more permission is said; all is well without it."""
    fake.change_rules(scopes=("im:message", "cardkit:card:write"))
    found = await look(fake)
    assert not sick(found)
    assert "im:message.group_msg" in found["permissions"].says


async def test_permissions_that_cannot_be_listed_are_told(fake: FakeLark) -> None:
    """An app that is not installed is said in words."""
    fake.fail("scopes", "code", code=212100)
    found = await look(fake)
    assert sick(found) == ["permissions"]
    assert "not installed" in found["permissions"].says


@pytest.mark.parametrize(
    ("fault", "detail", "says"),
    [
        ("code", {"code": 1000040350}, "as many long connections"),
        ("html", {"status": 500}, "HTTP status 500"),
        ("drop", {}, "broke"),
    ],
)
async def test_a_long_connection_that_is_refused_is_told(
    fake: FakeLark, fault: str, detail: dict[str, Any], says: str
) -> None:
    """What Lark answers to the question where to connect is said."""
    fake.fail("endpoint", fault, **detail)
    found = await look(fake)
    assert sick(found) == ["long connection"]
    assert says in found["long connection"].says


async def test_a_long_connection_that_is_out_of_reach_is_told(
    fake: FakeLark, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    """Where the address that Lark gives cannot be reached, webhook mode is the way out."""

    async def address(_api: LarkApi) -> str:
        return f"wss://127.0.0.1:{unused_tcp_port}/ws/v2"

    monkeypatch.setattr(LarkApi, "link_address", address)
    found = await look(fake)
    assert sick(found) == ["long connection"]
    assert str(unused_tcp_port) in found["long connection"].says
    assert "FENNEL_LARK__MODE=webhook" in found["long connection"].cure


async def test_a_lark_that_is_away_is_told() -> None:
    """Where nobody answers, the network and the domain are to be looked at."""
    with FakeLark() as gone:
        pass
    found = await look(gone)
    assert sick(found) == ["domain answers"]


@pytest.mark.parametrize("lacking", ["encrypt_key", "verification_token"])
async def test_webhook_mode_needs_both_secrets(fake: FakeLark, lacking: str) -> None:
    """Without one of them the bot does not start in webhook mode; in the other mode they are not missed."""
    found = await look(fake, mode="webhook", webhook_port=fake.port, **{lacking: ""})
    assert sick(found) == ["webhook secrets"]
    assert f"FENNEL_LARK__{lacking.upper()}" in found["webhook secrets"].says
    assert not sick(await look(fake, **{lacking: ""}))


async def test_webhook_mode_needs_a_bot_that_listens(fake: FakeLark, unused_tcp_port: int) -> None:
    """It is said whether anything listens where Lark's requests are to arrive."""
    assert not sick(await look(fake, mode="webhook", webhook_port=fake.port))
    found = await look(fake, mode="webhook", webhook_port=unused_tcp_port)
    assert sick(found) == ["webhook"]
    assert f"127.0.0.1:{unused_tcp_port}" in found["webhook"].says
