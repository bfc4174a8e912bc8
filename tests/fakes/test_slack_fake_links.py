"""The fake Slack's Socket Mode, with the three backends of Slack's own Python SDK and with a bare WebSocket."""

from __future__ import annotations

import asyncio
import functools

import aiohttp
import pytest

from tests.fakes.python_peer import PythonPeer
from tests.fakes.slack import FakeSlack, Rules
from tests.fakes.slack_clients import FEEDBACK, MakeFake, Recorder, acked, delivery, error_of, web_client
from tests.fakes.slack_links import bare, connected, new_url

FAKE = functools.partial(FakeSlack, time_scale=0.001, rules=Rules(ack_timeout_s=0.5))
"""The last redelivery comes after 0.3 s, and an acknowledgement has 0.5 s."""


# --- the three backends


@pytest.mark.parametrize("backend", ["aiohttp", "websockets"])
async def test_an_async_app_hears_and_acknowledges(fake: FakeSlack, recorder: Recorder, backend: str) -> None:
    """A bolt app gets the mention, its message twin and a click, acknowledges them, and its pings are answered."""
    async with connected(fake, recorder, backend) as handler:
        posted = await recorder.client.chat_postMessage(channel="C1", text="answer", blocks=[FEEDBACK])
        fake.happen("app_mention", channel="C1", text="how?")
        fake.happen("click", channel="C1", ts=posted["ts"], positive=False, user="U3")
        await acked(fake)
        assert sorted(event["type"] for event in recorder.events) == ["app_mention", "message"]
        assert len({event["ts"] for event in recorder.events}) == 1
        assert len(set(recorder.event_ids)) == 2
        (click,) = recorder.actions
        assert (click["actions"][0]["value"], click["user"]["id"]) == ("down", "U3")
        assert click["container"]["message_ts"] == posted["ts"]
        assert await handler.client.is_connected()
        if backend == "aiohttp":
            await fake.eventually(lambda: [line for line in fake.journal if line.kind == "ping"])
    assert fake.unacked_events() == []


def test_the_builtin_client_hears_and_acknowledges(fake: FakeSlack) -> None:
    """A synchronous bolt app on the SDK's own WebSocket client acknowledges a mention, and follows a refresh."""
    with PythonPeer("tests.fakes.slack_builtin_peer", fake.urls()) as app:
        app.call("connect")
        fake.wait_for(lambda: fake.connected() == 1)
        fake.happen("app_mention", text="how?")
        fake.wait_for(lambda: fake.deliveries.all and not fake.unacked_events())
        assert app.call("heard") == ["<@UBOT> how?"]
        fake.happen("link", action="disconnect", reason="refresh_requested")
        fake.wait_for(lambda: fake.deliveries.sockets.accepted >= 2 and fake.connected() >= 1)


# --- the ends of a link


@pytest.mark.parametrize("backend", ["aiohttp", "websockets"])
@pytest.mark.parametrize("reason", ["warning", "refresh_requested", "link_disabled", "too_many_websockets"])
async def test_a_disconnect_brings_a_new_link(make_fake: MakeFake, backend: str, reason: str) -> None:
    """After each kind of disconnect the client opens a new link, and gets what happens later over it."""
    fake = make_fake(time_scale=0.005)  # a client that connects twice must have settled before the last try
    recorder = Recorder(fake)
    async with connected(fake, recorder, backend):
        fake.happen("link", action="disconnect", reason=reason)
        await fake.eventually(lambda: fake.deliveries.sockets.accepted >= 2 and fake.connected() == 1)
        fake.happen("app_mention", text="after")
        await acked(fake)
    assert "<@UBOT> after" in recorder.texts()


@pytest.mark.parametrize("code", [1000, 1001, 1012, None])
async def test_a_closed_or_aborted_link_comes_back(fake: FakeSlack, recorder: Recorder, code: int | None) -> None:
    """After a close with each code, and after a lost TCP connection, the client connects again."""
    async with connected(fake, recorder):
        happening = {"action": "close", "code": code} if code else {"action": "abort"}
        fake.happen("link", **happening)
        await fake.eventually(lambda: fake.deliveries.sockets.accepted == 2 and fake.connected() == 1)


async def test_a_black_hole_swallows_everything(fake: FakeSlack, recorder: Recorder) -> None:
    """A link on which nothing moves any more loses events, until the client notices and opens another."""
    async with connected(fake, recorder):
        fake.happen("link", action="black_hole")
        lost = fake.happen("event", event={"type": "reaction_added"})
        await fake.eventually(lambda: delivery(fake, lost).state == "lost")
        await fake.eventually(lambda: fake.deliveries.sockets.accepted >= 2, timeout_s=20)
        assert [event["state"] for event in fake.unacked_events()] == ["lost"]
        assert recorder.events == []


async def test_slack_refreshes_links_by_age(make_fake: MakeFake) -> None:
    """A link of full age gets a warning, a disconnect after Slack's time of grace, and an end."""
    rules = Rules(connection_life_s=150, disconnect_grace_s=100)
    fake = make_fake(rules=rules)
    async with bare(fake) as (socket,):
        warned, told = await socket.receive_json(), await socket.receive_json()
        assert (warned["type"], warned["reason"]) == ("disconnect", "warning")
        assert (told["type"], told["reason"]) == ("disconnect", "refresh_requested")
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE


async def test_one_link_too_many(make_fake: MakeFake) -> None:
    """The eleventh link of an app is told so and closed; the ten others stay."""
    fake = make_fake()
    async with bare(fake, 10), aiohttp.ClientSession() as session:
        socket = await session.ws_connect(await new_url(fake))
        assert (await socket.receive_json())["reason"] == "too_many_websockets"
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert fake.connected() == 10


# --- opening a link


async def test_a_ticket_is_good_once_and_for_a_time(make_fake: MakeFake) -> None:
    """A ticket that was used, has aged, or was never given is refused at the handshake."""
    fake = make_fake(rules=Rules(ticket_life_s=0.05))
    async with aiohttp.ClientSession() as session:
        url = await new_url(fake)
        await session.ws_connect(url)
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await session.ws_connect(url)
        old = await new_url(fake)
        await asyncio.sleep(0.06)
        for wrong in (old, f"{fake.url}/link/?ticket=made-up"):
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                await session.ws_connect(wrong)
        fake.fail("link", "refuse", status=503)
        with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
            await session.ws_connect(await new_url(fake))


async def test_a_stale_ticket_traps_the_aiohttp_client(fake: FakeSlack, recorder: Recorder) -> None:
    """The SDK's aiohttp client tries a refused URL for ever; it comes free when it is made to forget it."""
    async with connected(fake, recorder) as handler:
        fake.fail("apps.connections.open", "stale_ticket")
        fake.happen("link", action="disconnect")

        def refused() -> list[str]:
            return [line.payload["url"] for line in fake.journal if line.kind == "handshake.refused"]

        await fake.eventually(lambda: len(refused()) >= 2)
        assert len(set(refused())) == 1
        handler.client.wss_uri = None
        await fake.eventually(lambda: fake.connected() == 1)


async def test_a_stale_ticket_does_not_trap_the_websockets_client(fake: FakeSlack, recorder: Recorder) -> None:
    """The SDK's websockets client asks for a new URL after a refused one."""
    async with connected(fake, recorder, "websockets"):
        fake.fail("apps.connections.open", "stale_ticket")
        fake.happen("link", action="close", code=1000)
        await fake.eventually(lambda: fake.deliveries.sockets.accepted == 2)
        assert "handshake.refused" in {line.kind for line in fake.journal}


async def test_opening_can_fail(fake: FakeSlack) -> None:
    """apps.connections.open can be made to fail like any other call."""
    app_token = fake.urls()["FENNEL_SLACK__APP_TOKEN"]
    client = web_client(fake)
    fake.fail("apps.connections.open", "error", error="invalid_auth")
    assert await error_of(client.apps_connections_open(app_token=app_token)) == "invalid_auth"
    fake.fail("apps.connections.open", "ratelimited", retry_after_s=30)
    assert await error_of(client.apps_connections_open(app_token=app_token)) == "ratelimited"
