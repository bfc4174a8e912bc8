"""The fake Lark as clients that others wrote see it: lark-oapi, lark-channel-sdk, and the SDK for Node.js."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.lark import FakeLark, Rules
from tests.fakes.lark.delivery import Delivery
from tests.fakes.lark_caller import card
from tests.fakes.node_peer import NodePeer
from tests.fakes.python_peer import PythonPeer


def new_fake() -> FakeLark:
    """15 s, 5 min, 1 h and 6 h of redelivery last 0.15, 3, 36 and 216 s; the client has 1 s to acknowledge."""
    return FakeLark(time_scale=0.01, rules=Rules(ack_timeout_s=1))


@pytest.fixture(scope="module")
def oapi() -> Iterator[tuple[FakeLark, PythonPeer]]:
    """One bot of lark-oapi for all its tests, as importing it takes seconds."""
    with new_fake() as fake, PythonPeer("tests.fakes.lark_oapi_peer", fake.urls()) as peer:
        peer.call("connect")
        fake.wait_for(lambda: fake.link.connections, timeout_s=30)
        yield fake, peer


@pytest.fixture
def node(node_packages: Path) -> Iterator[tuple[FakeLark, NodePeer]]:
    with new_fake() as fake, NodePeer("lark_bot.cjs", fake.urls()) as peer:
        yield fake, peer


def acknowledged(fake: FakeLark, event_id: str) -> Delivery:
    """Wait until the event is acknowledged."""
    delivery = fake.delivery(event_id)
    fake.wait_for(lambda: delivery.acknowledged_at_s)
    return delivery


def ask(fake: FakeLark, text: str, **how: Any) -> Delivery:
    """A question to the bot, and how its event fared once it is acknowledged."""
    fake.say(text, mention_bot=True, **how)
    return acknowledged(fake, fake.deliveries.all[-1].event_id)


def answers(fake: FakeLark, delivery: Delivery) -> list[str]:
    """The texts that answer the question of this event."""
    return [answer.text for answer in fake.answers_to(delivery.event["event"]["message"]["message_id"])]


def times_handled(peer: PythonPeer, delivery: Delivery) -> int:
    """How often the bot's handler was called with this event."""
    return sum(event.get("event_id") == delivery.event_id for event in peer.call("handled"))


# --- lark-oapi, long connection


@pytest.mark.parametrize(
    ("fault", "detail", "outcomes", "handled"),
    [
        (None, {}, ["200"], 1),
        ("fragments", {}, ["200"], 1),
        ("lost_fragment", {}, ["timeout", "200"], 1),
        ("lost", {}, ["timeout", "200"], 1),
        ("card_frame", {}, ["timeout", "200"], 1),
        ("close", {}, ["timeout", "200"], 2),
    ],
)
def test_lark_oapi_answers_an_event(
    oapi: tuple[FakeLark, PythonPeer], fault: str | None, detail: dict[str, Any], outcomes: list[str], handled: int
) -> None:
    """lark-oapi handles, answers and acknowledges an event, after each fault of the link; one answer is seen."""
    fake, peer = oapi
    fake.wait_for(lambda: fake.link.connections)
    if fault == "close":
        fake.change_rules(redelivery_after_s=(200,))  # time to connect again
    if fault:
        fake.fail("event", fault, **detail)
    delivery = ask(fake, "why?")
    fake.change_rules(redelivery_after_s=Rules().redelivery_after_s)
    assert delivery.outcomes == outcomes
    assert times_handled(peer, delivery) == handled
    assert answers(fake, delivery) == ["echo @_user_1 why?"]


def test_lark_oapi_handles_doubled_fragments_more_than_once(oapi: tuple[FakeLark, PythonPeer]) -> None:
    """Fragments that come twice under one message id reach lark-oapi's handler more than once, as on the platform."""
    fake, peer = oapi
    fake.fail("event", "fragments", copies=2)
    delivery = ask(fake, "why?")
    fake.wait_for(lambda: times_handled(peer, delivery) > 1)
    assert answers(fake, delivery) == ["echo @_user_1 why?"]


def test_lark_oapi_refuses_and_gets_it_again(oapi: tuple[FakeLark, PythonPeer]) -> None:
    """A handler that raises answers with code 500, and the event comes again under the same id."""
    fake, peer = oapi
    delivery = ask(fake, "refuse this once")
    assert delivery.outcomes == ["500", "200"]
    assert times_handled(peer, delivery) == 2


def test_lark_oapi_refuses_what_it_has_no_handler_for(oapi: tuple[FakeLark, PythonPeer]) -> None:
    """An event of a type that is not registered is refused with code 500."""
    fake, _ = oapi
    delivery = fake.delivery(fake.happen("im.message.message_read_v1", {"reader": {}, "message_id_list": []}))
    fake.wait_for(lambda: delivery.outcomes)
    assert delivery.outcomes[0] == "500"


def test_lark_oapi_answers_a_button(oapi: tuple[FakeLark, PythonPeer]) -> None:
    """What the handler of a card action gives comes back in the response frame."""
    fake, peer = oapi
    question = fake.say("why?")
    card_id = peer.call("create_card", card("thinking", streaming=False))["data"]["card_id"]
    sent = peer.call("reply", question, "interactive", {"type": "card", "data": {"card_id": card_id}}, "u-button")
    delivery = acknowledged(fake, fake.press(sent["data"]["message_id"], {"feedback": "up"}))
    assert delivery.data["toast"]["content"] == "up"


def test_lark_oapi_hears_of_a_recall(oapi: tuple[FakeLark, PythonPeer]) -> None:
    """A recalled message is told, and takes no answer any more."""
    fake, peer = oapi
    question = fake.say("why?")
    acknowledged(fake, fake.recall(question))
    assert {"recalled": question} in peer.call("handled")
    assert peer.call("reply", question, "text", {"text": "late"}, "u-late")["code"] == 230011


def test_lark_oapi_takes_new_times_from_a_pong(oapi: tuple[FakeLark, PythonPeer]) -> None:
    """The config in a pong changes the client's ping interval."""
    fake, peer = oapi
    fake.fail("ping", "reconfigure", config={"PingInterval": 2})
    fake.wait_for(lambda: any('"PingInterval": 2' in str(e.payload) for e in fake.journal if e.kind == "pong"))
    fake.wait_for(lambda: peer.call("ping_interval") == 2)


def test_lark_oapi_comes_back_after_trouble(oapi: tuple[FakeLark, PythonPeer]) -> None:
    """Cut off, and with discovery busy at first, lark-oapi connects again."""
    fake, _ = oapi
    before = {connection.device_id for connection in fake.link.connections}
    fake.fail("endpoint", "html", status=500)
    fake.fail("endpoint", "code", code=1)
    fake.abort_links()
    fake.wait_for(lambda: {connection.device_id for connection in fake.link.connections} - before, timeout_s=20)
    assert ask(fake, "again?").acknowledged_at_s


@pytest.mark.parametrize(
    ("kind", "name", "detail", "error"),
    [
        ("endpoint", "code", {"code": 1}, "ServerException"),
        ("endpoint", "code", {"code": 1000040343}, "ServerException"),
        ("endpoint", "html", {"status": 500}, "ServerException"),
        ("endpoint", "code", {"code": 99991400}, "ClientException"),
        ("endpoint", "code", {"code": 1000040350}, "ClientException"),
        ("handshake", "refuse", {"status": 403}, "ClientException"),
        ("handshake", "refuse", {"status": 514}, "ServerException"),
        ("handshake", "refuse", {"status": 514, "auth_code": 1000040350}, "ClientException"),
    ],
)
def test_lark_oapi_reads_refusals(
    oapi: tuple[FakeLark, PythonPeer], kind: str, name: str, detail: dict[str, int], error: str
) -> None:
    """lark-oapi tells refusals that it tries again after from those that end its connecting."""
    fake, peer = oapi
    fake.wait_for(lambda: fake.link.connections)
    fake.fail(kind, name, **detail)
    assert peer.call("discover" if kind == "endpoint" else "shake_hands") == error


# --- lark-oapi, REST and webhook


def test_lark_oapi_streams_a_card(oapi: tuple[FakeLark, PythonPeer]) -> None:
    """Card, reply, streamed text and settings go through lark-oapi's REST client, refusals with their codes."""
    fake, peer = oapi
    question = fake.say("why?")
    card_id = peer.call("create_card", card("thinking", streaming=True))["data"]["card_id"]
    content = {"type": "card", "data": {"card_id": card_id}}
    first, second = [peer.call("reply", question, "interactive", content, "u-card") for _ in range(2)]
    assert first["data"]["message_id"] == second["data"]["message_id"]
    assert peer.call("stream", card_id, "md_1", "because", 1)["ok"]
    assert peer.call("stream", card_id, "md_1", "because", 1)["code"] == 300317
    assert peer.call("settings", card_id, {"streaming_mode": False}, 2)["ok"]
    assert peer.call("stream", card_id, "md_1", "more", 3)["code"] == 300309
    answer = next(each for each in fake.answers_to(question) if each.msg_type == "interactive")
    assert (answer.text, answer.sequence, answer.streaming) == ("because", 2, False)


def test_lark_oapi_lists_a_chat(oapi: tuple[FakeLark, PythonPeer]) -> None:
    """The list gives what is needed to find an own answer: parent and sender."""
    fake, peer = oapi
    delivery = ask(fake, "list me")
    message = delivery.event["event"]["message"]
    items = peer.call("listing", "chat", message["chat_id"])["data"]["items"]
    own = [item for item in items if item["sender"]["id"] == fake.app_id]
    assert [item["parent_id"] for item in own] == [message["message_id"]]


def test_lark_oapi_sees_rate_limits_and_dead_tokens(oapi: tuple[FakeLark, PythonPeer]) -> None:
    """A 429 and a token that is invalid come as codes, not as exceptions; a page that is no JSON raises."""
    fake, peer = oapi
    # Answered before the faults are set, so that the bot's own answer does not take them.
    question = ask(fake, "why?").event["event"]["message"]["message_id"]
    reply = ("reply", question, "text", {"text": "hello"}, "")
    fake.fail("message.reply", "rate_limited")
    limited = peer.call(*reply)
    assert (limited["status"], limited["code"]) == (429, 99991400)
    fake.fail("message.reply", "code", code=99991663)
    assert peer.call(*reply)["code"] == 99991663
    fake.fail("message.reply", "html")
    with pytest.raises(RuntimeError, match="JSONDecodeError"):
        peer.call(*reply)


@pytest.mark.parametrize(
    ("variant", "status"),
    [
        ("valid", 200),
        ("stale", 200),  # lark-oapi has no look at the time: whoever uses it has to
        ("bad_signature", 500),
        ("no_signature", 500),
        ("wrong_token", 500),
        ("wrong_key", 500),
        ("not_json", 500),
    ],
)
def test_lark_oapi_judges_a_webhook(oapi: tuple[FakeLark, PythonPeer], variant: str, status: int) -> None:
    """lark-oapi decrypts and verifies what the fake posts, and refuses each forgery that it can tell."""
    fake, peer = oapi
    fake.webhook_url = peer.call("serve_webhook")
    try:
        assert fake.post_webhook(variant).status == status
        challenge = fake.verify_webhook()
        assert json.loads(challenge.body) == {"challenge": "a-challenge"}
    finally:
        fake.webhook_url = None


# --- lark-channel-sdk


def test_lark_channel_streams_an_answer() -> None:
    """lark-channel-sdk connects, hears a question that mentions the bot, and answers with a card that is closed."""
    with new_fake() as fake, PythonPeer("tests.fakes.lark_channel_peer", fake.urls()) as peer:
        peer.call("connect")
        question = fake.say("why?", mention_bot=True)
        fake.wait_for(lambda: [answer.text for answer in fake.answers_to(question)] == ["echo why?"], timeout_s=30)
        (heard,) = peer.call("handled")
        assert (heard["id"], heard["mentioned_bot"]) == (question, True)
        fake.wait_for(lambda: not fake.answers_to(question)[0].streaming)
        assert fake.sends_above_rate() == []


# --- the SDK for Node.js


def test_node_sdk_answers_events(node: tuple[FakeLark, NodePeer]) -> None:
    """The Node SDK hears whole and fragmented events, answers them, and comes back after a cut."""
    fake, peer = node
    peer.call("connect")
    peer.wait_for_event("ready")
    assert answers(fake, ask(fake, "why?")) == ["echo @_user_1 why?"]
    fake.fail("event", "fragments")
    assert ask(fake, "in pieces?").outcomes == ["200"]
    fake.abort_links()
    peer.wait_for_event("reconnected")
    assert answers(fake, ask(fake, "again?")) == ["echo @_user_1 again?"]


def test_node_sdk_streams_a_card_and_answers_a_button(node: tuple[FakeLark, NodePeer]) -> None:
    """A card that the Node SDK streams is seen as it was left, and its button is answered with a toast."""
    fake, peer = node
    question = fake.say("why?")
    peer.call("streamCard", question, ["be", "because"])
    (answer,) = fake.answers_to(question)
    assert (answer.text, answer.sequence, answer.streaming) == ("because", 3, False)
    peer.call("connect")
    peer.wait_for_event("ready")
    delivery = acknowledged(fake, fake.press(answer.message_id, {"feedback": "up"}))
    assert delivery.data["toast"]["content"] == "up"


def test_node_sdk_judges_a_webhook(node: tuple[FakeLark, NodePeer]) -> None:
    """The Node SDK decrypts and verifies what the fake posts, and does not handle what is badly signed."""
    fake, peer = node
    fake.webhook_url = peer.call("serveWebhook")
    fake.post_webhook("bad_signature")
    assert fake.post_webhook("valid").status == 200
    assert json.loads(fake.verify_webhook().body) == {"challenge": "a-challenge"}
    peer.wait_for_event("message")
    assert len(peer.events_named("message")) == 1
