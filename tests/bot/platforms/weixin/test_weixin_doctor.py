"""What `fennel doctor weixin` says of a login."""

from __future__ import annotations

import pytest

from bot.platforms.weixin import doctor
from bot.platforms.weixin.session import Session, SessionFile
from contract.finding import Finding
from tests.bot.conftest import MakeSettings
from tests.bot.platforms.weixin.conftest import calls, log_in
from tests.fakes.wecom import FakeWeCom


async def look(make_settings: MakeSettings) -> list[Finding]:
    """The findings; none shows the token."""
    found = await doctor.findings(make_settings())
    for one in found:
        assert one.is_well != bool(one.cure)
        assert "token-of-the-test" not in one.says + one.cure
    return found


async def test_a_login_that_holds_is_well(fake: FakeWeCom, make_settings: MakeSettings) -> None:
    """WeChat is asked in a way that takes no message from a bot that runs; a file that others can read is told."""
    sessions = log_in(fake, make_settings())
    assert [one.says for one in await look(make_settings)] == ["WeChat knows the login."]
    assert not calls(fake, "getupdates")
    sessions.path.chmod(0o644)
    readable, login = await look(make_settings)
    assert "chmod 600" in readable.cure
    assert login.is_well


async def test_no_login_a_broken_one_and_one_that_is_over_are_told(
    fake: FakeWeCom, make_settings: MakeSettings
) -> None:
    """Each with what to do about it."""
    assert "Nobody has logged in" in (await look(make_settings))[0].says
    sessions = log_in(fake, make_settings())
    fake.do("expire_token")
    assert "ended this login" in (await look(make_settings))[0].says
    sessions.path.write_text("{")
    assert "Delete" in (await look(make_settings))[0].cure


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:1"])
async def test_a_server_that_cannot_be_reached_is_told(make_settings: MakeSettings, base_url: str) -> None:
    """With its address."""
    sessions = SessionFile(make_settings().home / "weixin" / "session.json")
    sessions.save(Session("token-of-the-test", "b@im.bot", base_url))
    (login,) = await look(make_settings)
    assert base_url in login.cure
