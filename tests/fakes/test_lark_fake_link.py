"""The fake Lark's long connection and webhook, rule by rule and fault by fault, as bare clients see them."""

from __future__ import annotations

import asyncio
import functools
import json
from typing import Any

import pytest
from aiohttp import WSMsgType, WSServerHandshakeError

from tests.fakes.lark import Codes, FakeLark, Rules
from tests.fakes.lark.frame import CONTROL, DATA, Frame, FrameError, decode, fragments
from tests.fakes.lark_caller import Caller, until

CODES = Codes()


FAKE = functools.partial(FakeLark, time_scale=0.00002, rules=Rules(ack_timeout_s=0.5))
"""The client has 0.5 s to acknowledge; 15 s, 5 min, 1 h and 6 h of redelivery last 0.3, 6, 72 and 432 ms."""


# --- frames


def test_a_frame_comes_back_as_it_went() -> None:
    """Encoding and decoding a frame gives the same frame, with large and negative numbers."""
    frame = Frame(DATA, {"type": "event", "名": "值"}, "茴香".encode(), service=-1, seq_id=2**64 - 1, log_id=300)
    again = decode(frame.encode())
    assert (again.headers, again.payload, again.seq_id) == (frame.headers, frame.payload, frame.seq_id)
    assert again.service & 0xFFFFFFFF == 0xFFFFFFFF


@pytest.mark.parametrize("data", [b"", b"\x08", b"\x2a\x7f", b"\x0b\x00", b"\x08\x01\x10\x01\x18\x01"])
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    """Cut numbers, cut fields, unknown wire types and missing required fields are errors."""
    with pytest.raises(FrameError):
        decode(data)


def test_fragments_join_to_the_whole() -> None:
    """The fragments of a frame hold its payload in order under one message id."""
    whole = Frame(DATA, {"message_id": "m", "sum": "1", "seq": "0"}, b"0123456789")
    pieces = fragments(whole, 3)
    assert b"".join(piece.payload for piece in pieces) == whole.payload
    assert [(piece.headers["seq"], piece.headers["sum"]) for piece in pieces] == [("0", "3"), ("1", "3"), ("2", "3")]


# --- the long connection


async def test_an_acknowledged_event_comes_once(fake: FakeLark, caller: Caller) -> None:
    """An event that is answered with code 200 is acknowledged and told no second time."""
    async with caller.connected() as wire:
        message_id = fake.say("why?", mention_bot=True)
        frame = await wire.hear()
        event = json.loads(frame.payload)
        assert event["event"]["message"]["message_id"] == message_id
        assert event["event"]["message"]["mentions"][0]["id"]["open_id"] == fake.bot_open_id
        await wire.answer(frame)
        await until(fake, lambda: not fake.unacked_events())
        assert fake.delivery(event["header"]["event_id"]).outcomes == ["200"]


async def test_an_event_is_pushed_again_four_times(fake: FakeLark, caller: Caller) -> None:
    """An event that is refused is pushed again at 15 s, 5 min, 1 h and 6 h under the same event id, then given up."""
    async with caller.connected() as wire:
        fake.say("why?")
        heard = []
        for _ in range(5):
            frame = await wire.hear()
            heard.append(json.loads(frame.payload)["header"]["event_id"])
            await wire.answer(frame, code=500)
        assert len(set(heard)) == 1
        (delivery,) = await until(fake, lambda: [each for each in fake.unacked_events() if each.given_up])
        assert delivery.outcomes == ["500"] * 5
        gaps = [later - earlier for earlier, later in zip(delivery.pushed_at_s, delivery.pushed_at_s[1:], strict=False)]
        assert all(gap >= fake.scaled(wait) for gap, wait in zip(gaps, (15, 300, 3600, 21600), strict=True))


async def test_silence_is_no_acknowledgement(fake: FakeLark, caller: Caller) -> None:
    """Without an answer within 3 s the event is pushed again; the late answer to the first push does not count."""
    async with caller.connected() as wire:
        fake.say("why?")
        first, second = await wire.hear(), await wire.hear()
        await wire.answer(first)
        await wire.answer(second, code=500)
        await wire.answer(await wire.hear())
        (delivery,) = fake.deliveries.all
        await until(fake, lambda: delivery.acknowledged_at_s)
        assert delivery.outcomes == ["timeout", "500", "200"]


async def test_an_event_without_a_connection_waits(fake: FakeLark, caller: Caller) -> None:
    """An event that happens while nobody is connected is told by a later push."""
    fake.change_rules(redelivery_after_s=(15000,))
    fake.say("why?")
    await until(fake, lambda: fake.deliveries.all[0].outcomes == ["no connection"])
    async with caller.connected() as wire:
        await wire.answer(await wire.hear())
        await until(fake, lambda: not fake.unacked_events())


async def test_each_event_goes_to_one_connection(fake: FakeLark, caller: Caller) -> None:
    """With two connections no event reaches both, and both get some."""
    async with caller.connected() as one, caller.connected() as two:
        for number in range(30):
            fake.say(str(number))

        async def answer_all(wire: Any) -> None:
            while True:
                await wire.answer(await wire.hear())

        readers = [asyncio.create_task(answer_all(wire)) for wire in (one, two)]
        await until(fake, lambda: not fake.unacked_events())
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
    pushes = [line.payload["device_id"] for line in fake.journal if line.kind == "event"]
    assert len(pushes) == 30
    assert len(set(pushes)) == 2


async def test_every_ping_has_a_pong(fake: FakeLark, caller: Caller) -> None:
    """A ping is answered with a pong, unless that is muted, or with new times for the client."""
    async with caller.connected() as wire:
        pong = await wire.ping()
        assert (pong.method, pong.headers["type"], pong.payload) == (CONTROL, "pong", b"")
        fake.fail("ping", "mute")
        fake.fail("ping", "reconfigure", config={"PingInterval": 7})
        await wire.socket.send_bytes(Frame(CONTROL, {"type": "ping"}).encode())
        assert json.loads((await wire.ping()).payload)["PingInterval"] == 7


@pytest.mark.parametrize(("name", "detail"), [("fragments", {}), ("lost_fragment", {"count": 3})])
async def test_an_event_comes_in_fragments(fake: FakeLark, caller: Caller, name: str, detail: dict[str, int]) -> None:
    """Fragments come out of order under one message id; with one of them lost the event is pushed again."""
    fake.fail("event", name, **detail)
    async with caller.connected() as wire:
        fake.say("why?")
        pieces = [await wire.hear() for _ in range(3 if name == "fragments" else 2)]
        seqs = [int(piece.headers["seq"]) for piece in pieces]
        assert len({piece.headers["message_id"] for piece in pieces}) == 1
        if name == "fragments":
            assert seqs == [2, 1, 0]
            payload = b"".join(piece.payload for piece in reversed(pieces))
            await wire.answer(pieces[0])
        else:
            assert seqs == [0, 1]
            whole = await wire.hear()
            payload = whole.payload
            await wire.answer(whole)
        assert json.loads(payload)["header"]["event_type"] == "im.message.receive_v1"
        await until(fake, lambda: not fake.unacked_events())


@pytest.mark.parametrize(("name", "message_ids"), [("duplicate", 1), ("duplicate_event", 2)])
async def test_an_event_comes_twice(fake: FakeLark, caller: Caller, name: str, message_ids: int) -> None:
    """The same event comes twice at once, under one message id or under two."""
    fake.fail("event", name)
    async with caller.connected() as wire:
        fake.say("why?")
        frames = [await wire.hear(), await wire.hear()]
        assert len({json.loads(frame.payload)["header"]["event_id"] for frame in frames}) == 1
        assert len({frame.headers["message_id"] for frame in frames}) == message_ids


async def test_events_come_out_of_order(fake: FakeLark, caller: Caller) -> None:
    """The earlier of two messages arrives after the later one, as its create_time shows."""
    fake.fail("event", "out_of_order")
    async with caller.connected() as wire:
        chat_id = fake.add_chat()
        for text in ("first", "second"):
            fake.say(text, chat_id=chat_id)
        heard = [json.loads((await wire.hear()).payload)["event"]["message"] for _ in range(2)]
        assert [json.loads(message["content"])["text"] for message in heard] == ["second", "first"]
        assert int(heard[0]["create_time"]) > int(heard[1]["create_time"])


async def test_a_push_can_be_lost_or_of_another_type(fake: FakeLark, caller: Caller) -> None:
    """A lost push and one of the frame type ``card`` are followed by another one."""
    fake.fail("event", "lost")
    fake.fail("event.again", "card_frame")
    async with caller.connected() as wire:
        fake.say("why?")
        assert [(await wire.hear()).headers["type"] for _ in range(2)] == ["card", "event"]


@pytest.mark.parametrize("name", ["close", "abort"])
async def test_the_connection_ends_while_an_event_is_handled(fake: FakeLark, caller: Caller, name: str) -> None:
    """After the connection ended on an event, the event comes again over the next connection."""
    fake.change_rules(redelivery_after_s=(15000,))
    fake.fail("event", name)
    async with caller.connected() as wire:
        fake.say("why?")
        await wire.hear()
        assert (await wire.socket.receive()).type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.ERROR)
    async with caller.connected() as wire:
        await wire.answer(await wire.hear())
        await until(fake, lambda: not fake.unacked_events())


@pytest.mark.parametrize("name", ["close_links", "abort_links"])
async def test_connections_end_on_demand(fake: FakeLark, caller: Caller, name: str) -> None:
    """Every connection can be closed or cut from outside."""
    async with caller.connected() as wire:
        await asyncio.to_thread(getattr(fake, name))
        assert (await wire.socket.receive()).type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.ERROR)
    await until(fake, lambda: not fake.link.connections)


async def test_a_connection_can_go_dead(fake: FakeLark, caller: Caller) -> None:
    """A silenced connection stays open and says nothing, while a new one works."""
    async with caller.connected() as dead:
        fake.silence_links()
        await dead.socket.send_bytes(Frame(CONTROL, {"type": "ping"}).encode())
        fake.say("why?")
        await until(fake, lambda: fake.deliveries.all[0].outcomes)
        async with caller.connected() as wire:
            assert (await wire.ping()).headers["type"] == "pong"
        assert not dead.socket.closed
        with pytest.raises(TimeoutError):
            await dead.socket.receive(timeout=0.01)


# --- discovery and handshake


@pytest.mark.parametrize("code", [1, 1000040343, 1000040350, 99991400])
async def test_discovery_fails_with_a_code(fake: FakeLark, caller: Caller, code: int) -> None:
    """Discovery gives any code with HTTP 200, then works again."""
    fake.fail("endpoint", "code", code=code)
    refused = await caller.discover()
    assert (refused.status, refused.code) == (200, code)
    assert (await caller.discover()).data["ClientConfig"]["PingInterval"] >= 1


async def test_discovery_wants_the_secret(fake: FakeLark, caller: Caller) -> None:
    """A wrong secret is refused with code 514."""
    refused = await caller.request("POST", "/callback/ws/endpoint", {"AppID": fake.app_id, "AppSecret": "wrong"})
    assert refused.code == CODES.endpoint_auth


async def test_discovery_hangs(fake: FakeLark, caller: Caller) -> None:
    """Discovery that hangs is answered when it is let go on."""
    fake.fail("endpoint", "hang")
    call = asyncio.create_task(caller.discover())
    await until(fake, lambda: any(line.kind == "endpoint" for line in fake.journal))
    fake.release_hung()
    assert (await call).code == 0


async def refused_handshake(caller: Caller, url: str) -> dict[str, str]:
    """The headers of a handshake that fails."""
    with pytest.raises(WSServerHandshakeError) as caught:
        await caller.session.ws_connect(url)
    return dict(caught.value.headers or {})


@pytest.mark.parametrize(("status", "auth_code"), [(403, 0), (514, 1000040350)])
async def test_the_handshake_is_refused(fake: FakeLark, caller: Caller, status: int, auth_code: int) -> None:
    """A refused handshake tells its status and the reason in headers."""
    fake.fail("handshake", "refuse", status=status, auth_code=auth_code)
    headers = await refused_handshake(caller, (await caller.discover()).data["URL"])
    assert (headers["handshake-status"], headers["handshake-autherrcode"]) == (str(status), str(auth_code))
    assert headers["handshake-msg"]


async def test_an_address_is_good_for_one_connection(fake: FakeLark, caller: Caller) -> None:
    """The address that discovery gave is refused the second time."""
    url = (await caller.discover()).data["URL"]
    async with caller.session.ws_connect(url):
        assert (await refused_handshake(caller, url))["handshake-status"] == "514"


async def test_there_are_only_so_many_connections(fake: FakeLark, caller: Caller) -> None:
    """One connection more than allowed is refused with 1000040350."""
    fake.change_rules(connections_max=1)
    async with caller.connected():
        headers = await refused_handshake(caller, (await caller.discover()).data["URL"])
    assert headers["handshake-autherrcode"] == str(CODES.too_many_connections)
