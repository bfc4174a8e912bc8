"""Who comes in, and who does not."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from bs4 import BeautifulSoup

from bot.platform import NotConfiguredError, PlatformError
from bot.platforms.web import create
from bot.platforms.web.passwords import GUESSES
from bot.registry import create_platform
from tests.bot.conftest import MakeSettings
from tests.bot.platforms.web.page import GUEST, OPERATOR, open_page, quick_hash


def web(**keys: Any) -> dict[str, Any]:
    """The page's settings, at a free port."""
    return {"port": 0, **keys}


def locked(**keys: Any) -> dict[str, Any]:
    """The settings with both passwords."""
    return web(password_hash=quick_hash(GUEST), operator_hash=quick_hash(OPERATOR), **keys)


def test_beyond_loopback_a_password_is_wanted(make_settings: MakeSettings) -> None:
    """The page refuses to be open to others without one, and says how to make it."""
    with pytest.raises(PlatformError, match="`fennel web password` makes"):
        create(make_settings(web=web(host="0.0.0.0")))
    with pytest.raises(PlatformError, match="`fennel web password` makes"):
        create(make_settings(web=web(host="::", operator_hash=quick_hash(OPERATOR))))
    for host in ("127.0.0.1", "::1", "localhost"):
        create(make_settings(web=web(host=host)))
    create(make_settings(web=locked(host="0.0.0.0")))


def test_a_password_in_the_clear_is_no_hash(make_settings: MakeSettings) -> None:
    """Who writes the password itself into the settings is told so, without the password."""
    with pytest.raises(PlatformError, match=r"web\.password_hash is no argon2 hash") as told:
        create(make_settings(web=web(password_hash="hunter2")))
    assert "hunter2" not in str(told.value)


def test_it_runs_where_it_is_switched_on_or_named(make_settings: MakeSettings) -> None:
    """Under supervisord it wants its switch; a person who starts it by name has said that they want it."""
    with pytest.raises(NotConfiguredError, match="FENNEL_WEB__ENABLED"):
        create_platform("web", make_settings(web=web()))
    create_platform("web", make_settings(web=web()), by_hand=True)
    create_platform("web", make_settings(web=web(enabled=True)))


async def test_nobody_sees_anything_before_coming_in(make_settings: MakeSettings) -> None:
    """A browser is led to the entry and back to where it wanted to go; a program is told so."""
    async with open_page(make_settings(web=web())) as page, page.browser() as client:
        led = await client.get("/?room=direct", headers={"Accept": "text/html"})
        assert (led.status_code, led.headers["location"]) == (303, "/enter?next=/%3Froom%3Ddirect")
        for path in ("/room/events?room=general", "/operators/", "/knowledge/en/gradio_api/info", "/nothing"):
            assert (await client.get(path)).status_code == 401
        assert (await client.post("/room/say", json={})).status_code == 401
        assert page.events == []


async def test_a_wrong_password_lets_nobody_in(make_settings: MakeSettings) -> None:
    """It is told in a sentence; after a few nobody from there may guess on, not even rightly, for a while."""
    async with open_page(make_settings(web=locked())) as page, page.browser() as client:
        for _ in range(GUESSES):
            wrong = await client.post("/enter", data={"name": "Eve", "password": "guess"})
            assert wrong.status_code == 403
            assert "This password is wrong." in wrong.text
        late = await client.post("/enter", data={"name": "Ann", "password": GUEST})
        assert late.status_code == 429
        assert "Too many wrong passwords" in late.text
        assert "fennel_session" not in client.cookies


async def test_an_empty_password_is_a_wrong_one(make_settings: MakeSettings) -> None:
    """Where one is wanted, none is not enough; neither is a very long one."""
    async with open_page(make_settings(web=locked())) as page, page.browser() as client:
        for password in ("", "x" * 5_000):
            answer = await client.post("/enter", data={"name": "Eve", "password": password})
            assert answer.status_code == 403


async def test_each_password_opens_its_part(make_settings: MakeSettings) -> None:
    """The first opens the room, the operators' opens their tabs too, which the others are told of plainly."""
    async with open_page(make_settings(web=locked())) as page:
        async with page.person("Ann", GUEST) as guest:
            room = await guest.get("/")
            assert room.status_code == 200
            assert "/operators/" not in room.text
            for path in ("/operators/", "/operators/en/gradio_api/queue/join", "/knowledge", "/knowledge/en/"):
                assert (await guest.get(path)).status_code == 403
            assert (await guest.post("/knowledge/en/gradio_api/upload")).status_code == 403
        async with page.person("Olga", OPERATOR) as operator:
            assert "/operators/" in (await operator.get("/")).text


async def test_beyond_the_first_password_the_tabs_stay_shut(make_settings: MakeSettings) -> None:
    """Where there is a password and none for operators, nobody sees the tabs."""
    async with (
        open_page(make_settings(web=web(password_hash=quick_hash(GUEST)))) as page,
        page.person("Ann", GUEST) as ann,
    ):
        assert (await ann.get("/operators/")).status_code == 403


async def test_on_loopback_a_name_is_enough(make_settings: MakeSettings) -> None:
    """Without passwords whoever reaches this machine comes in, and is an operator of it."""
    async with open_page(make_settings(web=web())) as page, page.person("Ann") as ann:
        assert "/operators/" in (await ann.get("/")).text


async def test_with_the_operators_password_alone_the_room_is_open(make_settings: MakeSettings) -> None:
    """On loopback: a name opens the room, the password the tabs, and a wrong one nothing."""
    settings = make_settings(web=web(operator_hash=quick_hash(OPERATOR)))
    async with open_page(settings) as page:
        async with page.person("Ann") as ann:
            assert (await ann.get("/operators/")).status_code == 403
        async with page.browser() as eve:
            assert (await eve.post("/enter", data={"name": "Eve", "password": "guess"})).status_code == 403


async def test_a_session_outlives_the_bot_and_not_the_password(make_settings: MakeSettings) -> None:
    """A restarted bot knows who is there; with another password everybody has to come in anew."""
    kept = locked()
    async with open_page(make_settings(web=kept)) as page, page.person("Ann", GUEST) as ann:
        cookies = dict(ann.cookies)
    async with open_page(make_settings(web=kept)) as page, page.browser(cookies=cookies) as ann:
        assert "Ann" in (await ann.get("/")).text
    async with open_page(make_settings(web=locked())) as page, page.browser(cookies=cookies) as ann:
        assert (await ann.get("/")).status_code == 401


async def test_leaving_ends_the_session(make_settings: MakeSettings) -> None:
    """Also for whoever has copied the cookie."""
    async with open_page(make_settings(web=web())) as page, page.person("Ann") as ann:
        cookies = dict(ann.cookies)
        assert (await ann.post("/leave")).headers["location"] == "/enter"
        async with page.browser(cookies=cookies) as copied:
            assert (await copied.get("/")).status_code == 401


async def test_a_person_stays_the_same_and_cannot_be_taken(make_settings: MakeSettings) -> None:
    """Who comes in again in the same browser is the same person; the same name elsewhere is another one."""
    async with open_page(make_settings(web=web())) as page, page.person("Ann") as ann, page.person("Ann") as other:
        first = await identity(ann)
        assert first.startswith("guest-")
        assert await identity(other) != first
        await ann.post("/leave")
        await ann.post("/enter", data={"name": "Anna"})
        assert await identity(ann) == first


async def identity(client: httpx.AsyncClient) -> str:
    """The id of the person, as the page tells it."""
    named = BeautifulSoup((await client.get("/")).text, "lxml").select_one(".me .name")
    assert named is not None
    return str(named["title"])


async def test_cookies_are_out_of_reach_of_scripts_and_sites(make_settings: MakeSettings) -> None:
    """They are HttpOnly and SameSite, and Secure behind a proxy that speaks TLS."""
    async with open_page(make_settings(web=web())) as page, page.browser() as client:
        for headers, is_secure in (({}, False), ({"X-Forwarded-Proto": "https"}, True)):
            answer = await client.post("/enter", data={"name": "Ann"}, headers=headers)
            for cookie in answer.headers.get_list("set-cookie"):
                assert "HttpOnly" in cookie
                assert "SameSite=lax" in cookie
                assert ("Secure" in cookie) is is_secure


@pytest.mark.parametrize(
    "onward", ["//evil.example/", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"]
)
async def test_the_entry_leads_to_no_other_site(make_settings: MakeSettings, onward: str) -> None:
    """Whatever the address says, who has come in is on this page."""
    async with open_page(make_settings(web=web())) as page, page.browser() as client:
        answer = await client.post("/enter", data={"name": "Ann", "next": onward})
        assert answer.headers["location"] == "/"
        assert (await client.get("/language/zh", params={"back": onward})).headers["location"] == "/"


async def test_a_name_is_one_line_that_is_seen(make_settings: MakeSettings) -> None:
    """A name of nothing, or of what nobody sees, is none; a long one is cut."""
    async with open_page(make_settings(web=web())) as page, page.browser() as client:
        for name in ("", "   ", "\u200b\u202e"):
            answer = await client.post("/enter", data={"name": name})
            assert (answer.status_code, "Please say what you are called." in answer.text) == (400, True)
        await client.post("/enter", data={"name": "A" * 500 + "\nB"})
        assert "A" * 41 not in (await client.get("/")).text


@pytest.mark.parametrize(
    ("accepted", "title"),
    [("en-US,en;q=0.9", "Come in"), ("zh-CN,zh;q=0.9,en;q=0.8", "进入"), ("fr,zh;q=0.5", "进入"), ("", "Come in")],
)
async def test_the_page_speaks_the_readers_language(make_settings: MakeSettings, accepted: str, title: str) -> None:
    """The browser's language, until somebody chooses another."""
    async with (
        open_page(make_settings(web=web())) as page,
        page.browser(headers={"Accept-Language": accepted}) as client,
    ):
        assert f"<h1>{title}</h1>" in (await client.get("/enter")).text
        await client.get("/language/zh")
        assert "<h1>进入</h1>" in (await client.get("/enter")).text
