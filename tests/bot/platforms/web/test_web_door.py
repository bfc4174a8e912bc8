"""What the door turns away, and what it adds to every answer."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from bot.platforms.web.door import MAX_BODY_BYTES
from bot.platforms.web.words import words_of
from tests.bot.conftest import MakeSettings
from tests.bot.platforms.web.page import GUEST, open_page, quick_hash, say
from tests.valkey import ValkeyServer

OPEN = {"port": 0}


async def test_another_name_is_not_this_machine(make_settings: MakeSettings) -> None:
    """Without a password a stranger's page whose name is made to point to loopback reads nothing."""
    async with open_page(make_settings(web=OPEN)) as page, page.person() as ann:
        port = page.platform.server.port
        for host in ("evil.example", f"evil.example:{port}", "10.0.0.1"):
            assert (await ann.get("/", headers={"Host": host})).status_code == 403
        for host in ("localhost", f"localhost:{port}", f"[::1]:{port}", f"127.0.0.1:{port}"):
            assert (await ann.get("/", headers={"Host": host})).status_code == 200


async def test_with_a_password_any_name_is_fine(make_settings: MakeSettings) -> None:
    """Behind a proxy the page has a name of its own."""
    settings = make_settings(web=OPEN | {"password_hash": quick_hash(GUEST)})
    async with open_page(settings) as page, page.person("Ann", GUEST) as ann:
        assert (await ann.get("/", headers={"Host": "fennel.example.org"})).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_another_site_does_nothing_here(make_settings: MakeSettings, headers: dict[str, str]) -> None:
    """A form or a script of another site says, stops and judges nothing in the name of who is here."""
    async with open_page(make_settings(web=OPEN)) as page, page.person() as ann:
        body = {"room": "general", "text": "@fennel hi", "key": "message-1", "root": ""}
        assert (await ann.post("/room/say", json=body, headers=headers)).status_code == 403
        assert (await ann.post("/enter", data={"name": "Eve"}, headers=headers)).status_code == 403
        assert page.events == []
        same = {"Origin": str(ann.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}
        assert (await ann.post("/room/say", json=body, headers=same)).status_code == 200


async def test_every_answer_keeps_strangers_out(make_settings: MakeSettings) -> None:
    """No script but ours runs, nothing is loaded from elsewhere, and no other site shows the page in its own."""
    async with open_page(make_settings(web=OPEN)) as page, page.person() as ann:
        for path in ("/", "/enter", "/static/page.css", "/nothing"):
            policy = (await ann.get(path)).headers["content-security-policy"]
            for rule in ("default-src 'self'", "script-src 'self';", "frame-ancestors 'none'", "form-action 'self'"):
                assert rule in policy
            assert "unsafe" not in policy


async def test_too_much_is_not_read(make_settings: MakeSettings) -> None:
    """A body that nobody would write is not taken, with a length or without, however right it begins."""
    body = {"room": "general", "text": "@fennel hi", "key": "message-1", "root": "", "more": "x" * MAX_BODY_BYTES}
    whole = json.dumps(body).encode()

    async def in_pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(whole), 1024):
            yield whole[start : start + 1024]

    async with open_page(make_settings(web=OPEN)) as page, page.person() as ann:
        for content in (whole, in_pieces()):
            with contextlib.suppress(httpx.TransportError):
                assert (await ann.post("/room/say", content=content)).status_code == 400
        assert page.events == []


async def test_rubbish_is_no_request(make_settings: MakeSettings) -> None:
    """Cookies and bodies that are none break nothing."""
    async with open_page(make_settings(web=OPEN)) as page, page.person() as ann:
        for content in (b"", b"[]", b"null", b"{", b"\xff", b'{"room": 1}', b"[" * 60_000):
            assert (await ann.post("/room/say", content=content)).status_code == 400
        for body in (
            {},
            {"room": "nowhere", "text": "hi", "key": "message-1"},
            {"room": "general", "text": "hi", "key": "../x"},
        ):
            assert (await ann.post("/room/say", json=body)).status_code == 400
        assert (await say(ann, "hi", root="no-such-post")).status_code == 404
        async with page.browser(headers={"Cookie": "fennel_session=\x01; =; fennel_session"}) as client:
            assert (await client.get("/")).status_code == 401


async def test_without_redis_it_says_so(make_settings: MakeSettings, make_valkey: object) -> None:
    """While Redis is away every page says that in a sentence, and works again when it is back."""
    server: ValkeyServer = make_valkey()  # type: ignore[operator]
    async with open_page(make_settings(url=server.url, web=OPEN)) as page, page.person() as ann:
        server.kill()
        answer = await ann.get("/")
        assert (answer.status_code, answer.text) == (503, words_of("en")["no_redis"])
        server.start()
        assert (await ann.get("/")).status_code == 200
