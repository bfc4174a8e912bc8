"""What the fake Lark tells of: events over the long connection and by webhook, and the fake as a process."""

from __future__ import annotations

import asyncio
import functools
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from tests.fakes.lark import FakeLark, Rules
from tests.fakes.lark_caller import Caller, until

FAKE = functools.partial(FakeLark, time_scale=0.00002, rules=Rules(ack_timeout_s=0.5))
"""The client has 0.5 s to acknowledge; 15 s, 5 min, 1 h and 6 h of redelivery last 0.3, 6, 72 and 432 ms."""


# --- events


async def heard(fake: FakeLark, caller: Caller, act: Callable[[], object]) -> dict[str, Any]:
    """The event that something leads to."""
    async with caller.connected() as wire:
        act()
        frame = await wire.hear()
        await wire.answer(frame)
        return dict(json.loads(frame.payload))


async def test_a_direct_message_is_told(fake: FakeLark, caller: Caller) -> None:
    """A direct message comes with chat type p2p and no mention."""
    message = (await heard(fake, caller, lambda: fake.say("hi", direct=True)))["event"]["message"]
    assert message["chat_type"] == "p2p"
    assert "mentions" not in message


async def test_rich_text_is_told(fake: FakeLark, caller: Caller) -> None:
    """A post comes in rows, the mention as an ``at`` that names the key."""
    event = await heard(fake, caller, lambda: fake.say("one\ntwo", message_type="post", title="T", mention_bot=True))
    content = json.loads(event["event"]["message"]["content"])
    assert content["title"] == "T"
    assert content["content"][0][0] == {"tag": "at", "user_id": "@_user_1", "user_name": "Fennel"}
    assert content["content"][1] == [{"tag": "text", "text": "two"}]


async def test_a_quote_names_its_parent(fake: FakeLark, caller: Caller) -> None:
    """A message that quotes another names it as parent and root."""
    parent = fake.say("the sky is green")
    fake.say("is it?", parent_id=parent, mention_bot=True)
    message = fake.deliveries.all[-1].event["event"]["message"]
    assert message["parent_id"] == message["root_id"] == parent


async def test_a_message_in_a_thread_names_it(fake: FakeLark, caller: Caller) -> None:
    """A message in a topic carries the thread's id and its root."""
    root = fake.say("why?", chat_id=fake.add_chat(topic=True))
    thread_id = fake.chats.messages[root].thread_id
    fake.say("and then?", thread_id=thread_id)
    message = fake.deliveries.all[-1].event["event"]["message"]
    assert (message["thread_id"], message["root_id"]) == (thread_id, root)


async def test_a_recall_is_told(fake: FakeLark, caller: Caller) -> None:
    """A recalled message leads to im.message.recalled_v1 with its id."""
    question = fake.say("why?")
    fake.recall(question)
    event = fake.deliveries.all[-1].event
    assert event["header"]["event_type"] == "im.message.recalled_v1"
    assert event["event"]["message_id"] == question


async def test_a_press_of_a_button_is_told(fake: FakeLark, caller: Caller) -> None:
    """A pressed button leads to card.action.trigger with the button's value and the card's message."""
    card_id = await caller.create_card()
    message_id = (await caller.reply_card(fake.say("why?"), card_id)).data["message_id"]
    fake.press(message_id, {"feedback": "up"})
    event = fake.deliveries.all[-1].event
    assert event["header"]["event_type"] == "card.action.trigger"
    assert event["event"]["action"]["value"] == {"feedback": "up"}
    assert event["event"]["context"]["open_message_id"] == message_id


async def test_any_event_can_happen(fake: FakeLark, caller: Caller) -> None:
    """An event of any type is told with the body that is given."""
    event = await heard(fake, caller, lambda: fake.happen("im.message.message_read_v1", {"x": 1}))
    assert (event["header"]["event_type"], event["event"]) == ("im.message.message_read_v1", {"x": 1})


async def test_without_the_scope_only_mentions_are_told(fake: FakeLark, caller: Caller) -> None:
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
async def receiver(fake: FakeLark) -> AsyncIterator[Receiver]:
    it = Receiver()
    app = web.Application(client_max_size=16 * 2**20)
    app.router.add_post("/", it.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.webhook_url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    yield it
    await runner.cleanup()


async def test_events_are_posted_to_a_webhook(fake: FakeLark, receiver: Receiver) -> None:
    """With an address set an event is posted there, encrypted, and HTTP 200 acknowledges it."""
    fake.say("why?")
    await until(fake, lambda: not fake.unacked_events())
    assert list(await receiver.requests[0].json()) == ["encrypt"]


async def test_a_webhook_that_refuses_is_tried_again(fake: FakeLark, receiver: Receiver) -> None:
    """After an HTTP 500 the event is posted again, and a fault makes it come twice then."""
    receiver.statuses = [500]
    fake.fail("webhook.again", "duplicate")
    fake.say("why?")
    await until(fake, lambda: not fake.unacked_events())
    assert fake.deliveries.all[0].outcomes == ["500", "200"]
    assert len(receiver.requests) == 3


async def test_a_webhook_that_nobody_serves_is_tried_again(fake: FakeLark, receiver: Receiver) -> None:
    """An event whose address refuses the connection is told later."""
    fake.change_rules(redelivery_after_s=(15000,))
    working = fake.webhook_url
    with FakeLark() as gone:
        fake.webhook_url = gone.url
    fake.say("why?")
    await until(fake, lambda: fake.deliveries.all[0].outcomes)
    fake.webhook_url = working
    await until(fake, lambda: not fake.unacked_events())


async def test_a_valid_request_can_be_repeated_exactly(fake: FakeLark, receiver: Receiver) -> None:
    """A repeated request has the same bytes and the same signature."""
    for variant in ("valid", "repeated"):
        await asyncio.to_thread(fake.post_webhook, variant)
    first, second = receiver.requests
    assert await first.read() == await second.read()
    assert first.headers["X-Lark-Signature"] == second.headers["X-Lark-Signature"]


async def test_a_request_can_be_far_too_big(fake: FakeLark, receiver: Receiver) -> None:
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
        alone = FakeLark(app_id=settings["FENNEL_LARK__APP_ID"])
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


async def test_a_forged_webhook_is_posted_on_demand(fake: FakeLark, caller: Caller, receiver: Receiver) -> None:
    """Another process can have a question posted as any variant, and learns the answer."""
    receiver.statuses = [403]
    answer = await caller.request("POST", "/_control/webhook", {"variant": "unencrypted"})
    assert answer.body["status"] == 403
    assert (await receiver.requests[0].json())["header"]["event_type"] == "im.message.receive_v1"
