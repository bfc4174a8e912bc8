"""The fake Slack with Slack's own clients for JavaScript, another code base than the Python ones."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.fakes.node_peer import NodePeer, PeerError
from tests.fakes.slack import FakeSlack, Rules
from tests.fakes.slack_clients import FEEDBACK, RECIPIENT, remove_proxies

OpenPeer = Callable[..., NodePeer]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSlack]:
    """A fake whose last redelivery comes after 6 s: later than the JavaScript client needs to connect again."""
    remove_proxies(monkeypatch)
    with FakeSlack(time_scale=0.02, rules=Rules(ack_timeout_s=2)) as server:
        yield server


@pytest.fixture
def open_peer(fake: FakeSlack, node_packages: Any) -> Iterator[OpenPeer]:
    """Start a script that is connected to the fake when it is given back."""
    with contextlib.ExitStack() as stack:

        def open_(script: str, **env: str) -> NodePeer:
            peer = stack.enter_context(NodePeer(script, {**os.environ, **fake.urls(), **env}))
            peer.call("start")
            fake.wait_for(lambda: fake.connected() == 1)
            return peer

        yield open_


def test_bolt_for_javascript_answers(fake: FakeSlack, open_peer: OpenPeer) -> None:
    """Bolt for JavaScript hears a mention and a click, streams an answer, edits, and is refused where it must be."""
    bot = open_peer("slack_bot.cjs")
    ts = fake.happen("app_mention", channel="C1", text="how?")["ts"]
    assert bot.wait_for_event("app_mention")["body"]["ts"] == ts
    assert bot.wait_for_event("message")["body"]["ts"] == ts
    metadata = {"event_type": "answer", "event_payload": {"job": "7"}}
    target = {"channel": "C1", "thread_ts": ts, **RECIPIENT}
    bot.call("stream", target, ["**hello** ", "world"], {"blocks": [FEEDBACK], "metadata": metadata})
    (answer,) = fake.answers("C1", ts)
    assert (answer.shown, answer.stream_state, answer.metadata) == ("**hello** world", "stopped", metadata)
    fake.happen("click", channel="C1", ts=answer.ts, positive=False)
    assert bot.wait_for_event("action")["action"]["value"] == "down"
    bot.call("call", "chat.update", {"channel": "C1", "ts": answer.ts, "text": "edited"})
    assert fake.answers("C1", ts)[0].shown == "edited"
    replies = bot.call("call", "conversations.replies", {"channel": "C1", "ts": ts, "include_all_metadata": True})
    assert [message.get("metadata") for message in replies["messages"]] == [None, metadata]
    with pytest.raises(PeerError, match="message_not_found"):
        bot.call("call", "chat.update", {"channel": "C1", "ts": "1.000001", "text": "x"})
    # Bolt for JavaScript acknowledges with an empty payload, where the one for Python leaves it out.
    fake.wait_for(lambda: all(delivery.state == "acked" for delivery in fake.deliveries.all))
    assert {} in [line.payload.get("payload") for line in fake.journal if line.kind == "frame"]


def test_the_javascript_link_is_refreshed(fake: FakeSlack, open_peer: OpenPeer) -> None:
    """After a refresh and a refused ticket the JavaScript client asks for a new URL, and gets what it missed."""
    link = open_peer("slack_link.cjs", PING_MS="300")
    fake.wait_for(lambda: [line for line in fake.journal if line.kind == "ping"])
    fake.fail("apps.connections.open", "stale_ticket")
    fake.happen("link", action="disconnect", reason="refresh_requested")
    fake.wait_for(lambda: fake.connected() == 0)
    missed = fake.happen("app_mention", twin=False)
    event = link.wait_for_event("slack_event", timeout_s=30)
    assert event["body"]["event_id"] == missed["event_ids"][0]
    assert event["retry"] >= 2
    assert "handshake.refused" in {line.kind for line in fake.journal}
    assert fake.deliveries.sockets.accepted == 2


def test_the_javascript_link_notices_silence(fake: FakeSlack, open_peer: OpenPeer) -> None:
    """On a link where no ping is answered any more, the JavaScript client opens another."""
    open_peer("slack_link.cjs", PING_MS="300")
    fake.wait_for(lambda: [line for line in fake.journal if line.kind == "ping"])
    fake.happen("link", action="black_hole")
    fake.wait_for(lambda: fake.deliveries.sockets.accepted == 2, timeout_s=40)
