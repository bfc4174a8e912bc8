"""The fake Lark's long connection and webhook, rule by rule and fault by fault, as bare clients see them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from aiohttp import WSMsgType, WSServerHandshakeError, web

from tests.fakes.lark import Codes, LarkFake, Rules
from tests.fakes.lark.frame import CONTROL, DATA, Frame, FrameError, decode, fragments
from tests.fakes.lark_caller import Caller

CODES = Codes()


@pytest.fixture
def fake() -> Iterator[LarkFake]:
    # The client has 0.5 s to acknowledge; 15 s, 5 min, 1 h and 6 h of redelivery last 0.3, 6, 72 and 432 ms.
    with LarkFake(time_scale=0.00002, rules=Rules(ack_timeout_s=0.5)) as server:
        yield server


@pytest.fixture
async def caller(fake: LarkFake) -> AsyncIterator[Caller]:
    async with Caller(fake) as it:
        yield it


async def until(fake: LarkFake, look: Callable[[], Any]) -> Any:
    """Wait for what the fake sees, without blocking this test's own loop."""
    return await asyncio.to_thread(fake.wait_for, look)


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


async def test_an_acknowledged_event_comes_once(fake: LarkFake, caller: Caller) -> None:
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


async def test_an_event_is_pushed_again_four_times(fake: LarkFake, caller: Caller) -> None:
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


async def test_silence_is_no_acknowledgement(fake: LarkFake, caller: Caller) -> None:
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


async def test_an_event_without_a_connection_waits(fake: LarkFake, caller: Caller) -> None:
    """An event that happens while nobody is connected is told by a later push."""
    fake.change_rules(redelivery_after_s=(15000,))
    fake.say("why?")
    await until(fake, lambda: fake.deliveries.all[0].outcomes == ["no connection"])
    async with caller.connected() as wire:
        await wire.answer(await wire.hear())
        await until(fake, lambda: not fake.unacked_events())


async def test_each_event_goes_to_one_connection(fake: LarkFake, caller: Caller) -> None:
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


async def test_every_ping_has_a_pong(fake: LarkFake, caller: Caller) -> None:
    """A ping is answered with a pong, unless that is muted, or with new times for the client."""
    async with caller.connected() as wire:
        pong = await wire.ping()
        assert (pong.method, pong.headers["type"], pong.payload) == (CONTROL, "pong", b"")
        fake.fail("ping", "mute")
        fake.fail("ping", "reconfigure", config={"PingInterval": 7})
        await wire.socket.send_bytes(Frame(CONTROL, {"type": "ping"}).encode())
        assert json.loads((await wire.ping()).payload)["PingInterval"] == 7


@pytest.mark.parametrize(("name", "detail"), [("fragments", {}), ("lost_fragment", {"count": 3})])
async def test_an_event_comes_in_fragments(fake: LarkFake, caller: Caller, name: str, detail: dict[str, int]) -> None:
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
async def test_an_event_comes_twice(fake: LarkFake, caller: Caller, name: str, message_ids: int) -> None:
    """The same event comes twice at once, under one message id or under two."""
    fake.fail("event", name)
    async with caller.connected() as wire:
        fake.say("why?")
        frames = [await wire.hear(), await wire.hear()]
        assert len({json.loads(frame.payload)["header"]["event_id"] for frame in frames}) == 1
        assert len({frame.headers["message_id"] for frame in frames}) == message_ids


async def test_events_come_out_of_order(fake: LarkFake, caller: Caller) -> None:
    """The earlier of two messages arrives after the later one, as its create_time shows."""
    fake.fail("event", "out_of_order")
    async with caller.connected() as wire:
        chat_id = fake.add_chat()
        for text in ("first", "second"):
            fake.say(text, chat_id=chat_id)
        heard = [json.loads((await wire.hear()).payload)["event"]["message"] for _ in range(2)]
        assert [json.loads(message["content"])["text"] for message in heard] == ["second", "first"]
        assert int(heard[0]["create_time"]) > int(heard[1]["create_time"])


async def test_a_push_can_be_lost_or_of_another_type(fake: LarkFake, caller: Caller) -> None:
    """A lost push and one of the frame type ``card`` are followed by another one."""
    fake.fail("event", "lost")
    fake.fail("event.again", "card_frame")
    async with caller.connected() as wire:
        fake.say("why?")
        assert [(await wire.hear()).headers["type"] for _ in range(2)] == ["card", "event"]


@pytest.mark.parametrize("name", ["close", "abort"])
async def test_the_connection_ends_while_an_event_is_handled(fake: LarkFake, caller: Caller, name: str) -> None:
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
async def test_connections_end_on_demand(fake: LarkFake, caller: Caller, name: str) -> None:
    """Every connection can be closed or cut from outside."""
    async with caller.connected() as wire:
        await asyncio.to_thread(getattr(fake, name))
        assert (await wire.socket.receive()).type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.ERROR)
    await until(fake, lambda: not fake.link.connections)


async def test_a_connection_can_go_dead(fake: LarkFake, caller: Caller) -> None:
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
async def test_discovery_fails_with_a_code(fake: LarkFake, caller: Caller, code: int) -> None:
    """Discovery gives any code with HTTP 200, then works again."""
    fake.fail("endpoint", "code", code=code)
    refused = await caller.discover()
    assert (refused.status, refused.code) == (200, code)
    assert (await caller.discover()).data["ClientConfig"]["PingInterval"] >= 1


async def test_discovery_wants_the_secret(fake: LarkFake, caller: Caller) -> None:
    """A wrong secret is refused with code 514."""
    refused = await caller.request("POST", "/callback/ws/endpoint", {"AppID": fake.app_id, "AppSecret": "wrong"})
    assert refused.code == CODES.endpoint_auth


async def test_discovery_hangs(fake: LarkFake, caller: Caller) -> None:
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
async def test_the_handshake_is_refused(fake: LarkFake, caller: Caller, status: int, auth_code: int) -> None:
    """A refused handshake tells its status and the reason in headers."""
    fake.fail("handshake", "refuse", status=status, auth_code=auth_code)
    headers = await refused_handshake(caller, (await caller.discover()).data["URL"])
    assert (headers["handshake-status"], headers["handshake-autherrcode"]) == (str(status), str(auth_code))
    assert headers["handshake-msg"]


async def test_an_address_is_good_for_one_connection(fake: LarkFake, caller: Caller) -> None:
    """The address that discovery gave is refused the second time."""
    url = (await caller.discover()).data["URL"]
    async with caller.session.ws_connect(url):
        assert (await refused_handshake(caller, url))["handshake-status"] == "514"


async def test_there_are_only_so_many_connections(fake: LarkFake, caller: Caller) -> None:
    """One connection more than allowed is refused with 1000040350."""
    fake.change_rules(connections_max=1)
    async with caller.connected():
        headers = await refused_handshake(caller, (await caller.discover()).data["URL"])
    assert headers["handshake-autherrcode"] == str(CODES.too_many_connections)


# --- events


async def heard(fake: LarkFake, caller: Caller, act: Callable[[], object]) -> dict[str, Any]:
    """The event that something leads to."""
    async with caller.connected() as wire:
        act()
        frame = await wire.hear()
        await wire.answer(frame)
        return dict(json.loads(frame.payload))


async def test_a_direct_message_is_told(fake: LarkFake, caller: Caller) -> None:
    """A direct message comes with chat type p2p and no mention."""
    message = (await heard(fake, caller, lambda: fake.say("hi", direct=True)))["event"]["message"]
    assert message["chat_type"] == "p2p"
    assert "mentions" not in message


async def test_rich_text_is_told(fake: LarkFake, caller: Caller) -> None:
    """A post comes in rows, the mention as an ``at`` that names the key."""
    event = await heard(fake, caller, lambda: fake.say("one\ntwo", message_type="post", title="T", mention_bot=True))
    content = json.loads(event["event"]["message"]["content"])
    assert content["title"] == "T"
    assert content["content"][0][0] == {"tag": "at", "user_id": "@_user_1", "user_name": "Fennel"}
    assert content["content"][1] == [{"tag": "text", "text": "two"}]


async def test_a_quote_names_its_parent(fake: LarkFake, caller: Caller) -> None:
    """A message that quotes another names it as parent and root."""
    parent = fake.say("the sky is green")
    fake.say("is it?", parent_id=parent, mention_bot=True)
    message = fake.deliveries.all[-1].event["event"]["message"]
    assert message["parent_id"] == message["root_id"] == parent


async def test_a_message_in_a_thread_names_it(fake: LarkFake, caller: Caller) -> None:
    """A message in a topic carries the thread's id and its root."""
    root = fake.say("why?", chat_id=fake.add_chat(topic=True))
    thread_id = fake.chats.messages[root].thread_id
    fake.say("and then?", thread_id=thread_id)
    message = fake.deliveries.all[-1].event["event"]["message"]
    assert (message["thread_id"], message["root_id"]) == (thread_id, root)


async def test_a_recall_is_told(fake: LarkFake, caller: Caller) -> None:
    """A recalled message leads to im.message.recalled_v1 with its id."""
    question = fake.say("why?")
    fake.recall(question)
    event = fake.deliveries.all[-1].event
    assert event["header"]["event_type"] == "im.message.recalled_v1"
    assert event["event"]["message_id"] == question


async def test_a_press_of_a_button_is_told(fake: LarkFake, caller: Caller) -> None:
    """A pressed button leads to card.action.trigger with the button's value and the card's message."""
    card_id = await caller.create_card()
    message_id = (await caller.reply_card(fake.say("why?"), card_id)).data["message_id"]
    fake.press(message_id, {"feedback": "up"})
    event = fake.deliveries.all[-1].event
    assert event["header"]["event_type"] == "card.action.trigger"
    assert event["event"]["action"]["value"] == {"feedback": "up"}
    assert event["event"]["context"]["open_message_id"] == message_id


async def test_any_event_can_happen(fake: LarkFake, caller: Caller) -> None:
    """An event of any type is told with the body that is given."""
    event = await heard(fake, caller, lambda: fake.happen("im.message.message_read_v1", {"x": 1}))
    assert (event["header"]["event_type"], event["event"]) == ("im.message.message_read_v1", {"x": 1})


async def test_without_the_scope_only_mentions_are_told(fake: LarkFake, caller: Caller) -> None:
    """An app that may not read all group messages hears only those that mention its bot."""
    fake.change_rules(every_group_message=False)
    event = await heard(fake, caller, lambda: [fake.say("chatter"), fake.say("why?", mention_bot=True)])
    assert json.loads(event["event"]["message"]["content"])["text"] == "@_user_1 why?"


# --- webhook


class Receiver:
    """An address that keeps what is posted to it and answers with `statuses`, then with 200."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.requests: list[web.Request] = []

    async def take(self, request: web.Request) -> web.Response:
        """Keep the request, with its body read."""
        await request.read()
        self.requests.append(request)
        return web.json_response({"msg": "success"}, status=self.statuses.pop(0) if self.statuses else 200)


@pytest.fixture
async def receiver(fake: LarkFake) -> AsyncIterator[Receiver]:
    it = Receiver()
    app = web.Application(client_max_size=16 * 2**20)
    app.router.add_post("/", it.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.webhook_url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    yield it
    await runner.cleanup()


async def test_events_are_posted_to_a_webhook(fake: LarkFake, receiver: Receiver) -> None:
    """With an address set an event is posted there, encrypted, and HTTP 200 acknowledges it."""
    fake.say("why?")
    await until(fake, lambda: not fake.unacked_events())
    assert list(await receiver.requests[0].json()) == ["encrypt"]


async def test_a_webhook_that_refuses_is_tried_again(fake: LarkFake, receiver: Receiver) -> None:
    """After an HTTP 500 the event is posted again, and a fault makes it come twice then."""
    receiver.statuses = [500]
    fake.fail("webhook.again", "duplicate")
    fake.say("why?")
    await until(fake, lambda: not fake.unacked_events())
    assert fake.deliveries.all[0].outcomes == ["500", "200"]
    assert len(receiver.requests) == 3


async def test_a_webhook_that_nobody_serves_is_tried_again(fake: LarkFake, receiver: Receiver) -> None:
    """An event whose address refuses the connection is told later."""
    fake.change_rules(redelivery_after_s=(15000,))
    working = fake.webhook_url
    with LarkFake() as gone:
        fake.webhook_url = gone.url
    fake.say("why?")
    await until(fake, lambda: fake.deliveries.all[0].outcomes)
    fake.webhook_url = working
    await until(fake, lambda: not fake.unacked_events())


async def test_a_valid_request_can_be_repeated_exactly(fake: LarkFake, receiver: Receiver) -> None:
    """A repeated request has the same bytes and the same signature."""
    for variant in ("valid", "repeated"):
        await asyncio.to_thread(fake.post_webhook, variant)
    first, second = receiver.requests
    assert await first.read() == await second.read()
    assert first.headers["X-Lark-Signature"] == second.headers["X-Lark-Signature"]


async def test_a_request_can_be_far_too_big(fake: LarkFake, receiver: Receiver) -> None:
    """An oversized request is as big as told."""
    await asyncio.to_thread(fake.post_webhook, "oversized", size_bytes=2**20)
    assert len(await receiver.requests[0].read()) > 2**20


# --- alone, as a process


def started_alone(*options: str) -> subprocess.Popen[str]:
    """The fake as a process of its own."""
    command = [sys.executable, "-m", "tests.fakes.lark", "--port", "0", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


async def test_the_fake_serves_alone() -> None:
    """The module prints the settings that point a bot to it, serves, and is controlled over HTTP."""
    with started_alone("--time-scale", "0.01") as process:
        assert process.stdout is not None
        settings = dict(process.stdout.readline().strip().split("=", 1) for _ in range(5))
        alone = LarkFake(app_id=settings["FENNEL_LARK__APP_ID"])
        alone.port = int(settings["FENNEL_LARK__DOMAIN"].rpartition(":")[2])
        async with Caller(alone) as caller, caller.connected() as wire:
            await caller.request("POST", "/_control/inject", {"type": "message", "text": "why?"})
            assert json.loads((await wire.hear()).payload)["header"]["event_type"] == "im.message.receive_v1"
            await caller.request("POST", "/_control/link", {"action": "close"})
            assert (await wire.socket.receive()).type is WSMsgType.CLOSE
            nobody = await caller.request("POST", "/_control/webhook", {"url": None})
            assert nobody.body == {"url": None}
        process.terminate()
    assert settings["FENNEL_LARK__APP_SECRET"] == alone.app_secret
    assert settings["FENNEL_LARK__VERIFICATION_TOKEN"] == alone.verification_token
    assert settings["FENNEL_LARK__ENCRYPT_KEY"] == alone.encrypt_key


async def test_a_forged_webhook_is_posted_on_demand(fake: LarkFake, caller: Caller, receiver: Receiver) -> None:
    """Another process can have a question posted as any variant, and learns the answer."""
    receiver.statuses = [403]
    answer = await caller.request("POST", "/_control/webhook", {"variant": "unencrypted"})
    assert answer.body["status"] == 403
    assert (await receiver.requests[0].json())["header"]["event_type"] == "im.message.receive_v1"
