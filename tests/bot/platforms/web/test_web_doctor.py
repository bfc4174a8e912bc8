"""What `fennel doctor web` says of a page."""

from __future__ import annotations

import socket
from typing import Any

from bot.platforms.web import doctor
from contract.finding import Finding
from tests.bot.conftest import MakeSettings
from tests.bot.platforms.web.page import GUEST, OPERATOR, open_page, quick_hash


async def look(make_settings: MakeSettings, **web: Any) -> list[Finding]:
    """The findings; none shows a hash, and what is not well has a cure."""
    found = await doctor.findings(make_settings(web=web))
    for one in found:
        assert one.is_well != bool(one.cure)
        assert "$argon2" not in one.says + one.cure
    return found


async def test_a_page_that_would_be_open_to_strangers_is_told(make_settings: MakeSettings) -> None:
    """With the command that mends it."""
    (found,) = await look(make_settings, host="0.0.0.0")
    assert (found.is_well, "fennel web password" in found.cure) == (False, True)


async def test_who_sees_the_tabs_is_told(make_settings: MakeSettings) -> None:
    """For no password, one, and two."""
    guest, operator = quick_hash(GUEST), quick_hash(OPERATOR)
    for web, says in (
        ({}, "wants no password"),
        ({"password_hash": guest}, "shown to nobody"),
        ({"password_hash": guest, "operator_hash": operator}, "their own password"),
    ):
        assert says in (await look(make_settings, port=0, **web))[0].says


async def test_the_port_is_looked_at(make_settings: MakeSettings) -> None:
    """A page that is open, a port that is free, and one that another program has."""
    async with open_page(make_settings(web={"port": 0})) as page:
        port = page.platform.server.port
        assert (await look(make_settings, port=port))[1].says == f"It is open at http://127.0.0.1:{port}/."
    assert "is free" in (await look(make_settings, port=port))[1].says
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        found = (await look(make_settings, port=silent.getsockname()[1]))[1]
        assert (found.is_well, "FENNEL_WEB__PORT" in found.cure) == (False, True)
