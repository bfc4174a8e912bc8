"""What the fake Slack tells an app, over HTTP and in which words, and how it is controlled from another process."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from slack_sdk import WebClient

from tests.fakes.slack import FakeSlack, Rules
from tests.fakes.slack_clients import FEEDBACK, MakeFake, Recorder, remove_proxies, web_client

FAKE = functools.partial(FakeSlack, time_scale=0.001, rules=Rules(ack_timeout_s=0.5))
"""The last redelivery comes after 0.3 s, and an answer has 0.5 s."""


@contextlib.asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[str]:
    """The URL at which an app's own server takes events."""
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"
    finally:
        await runner.cleanup()


@pytest.fixture
async def events_url(fake: FakeSlack, recorder: Recorder) -> AsyncIterator[str]:
    """A bolt app in HTTP mode that the fake delivers to, after the handshake of its URL."""
    async with served(recorder.app.web_app(path="/slack/events")) as url:
        assert await happen(fake, "subscribe_url", url=url) == {"url": url}
        yield url


async def happen(fake: FakeSlack, kind: str, **detail: Any) -> Any:
    """Let something happen while this loop goes on, as the app under test runs on it."""
    return await asyncio.to_thread(lambda: fake.happen(kind, **detail))


async def settled(fake: FakeSlack) -> None:
    """Wait until nothing is on its way any more."""
    await fake.eventually(lambda: all(delivery.state != "waiting" for delivery in fake.deliveries.all))


def told(fake: FakeSlack) -> list[dict[str, Any]]:
    """Every event so far, in order."""
    return [delivery.payload["event"] for delivery in fake.deliveries.all]


# --- over HTTP


@pytest.mark.usefixtures("events_url")
async def test_http_deliveries_are_signed(fake: FakeSlack, recorder: Recorder) -> None:
    """A bolt app takes the URL's challenge, events and clicks over HTTP with the right signature."""
    posted = await recorder.client.chat_postMessage(channel="C1", text="answer", blocks=[FEEDBACK])
    await happen(fake, "app_mention", text="how?")
    await happen(fake, "click", channel="C1", ts=posted["ts"])
    await settled(fake)
    assert recorder.texts() == ["<@UBOT> how?"]
    assert [action["actions"][0]["value"] for action in recorder.actions] == ["up"]
    assert fake.unacked_events() == []


@pytest.mark.parametrize("flaw", ["bad_signature", "stale", "unsigned"])
async def test_http_deliveries_can_be_wrong(fake: FakeSlack, recorder: Recorder, events_url: str, flaw: str) -> None:
    """A wrong, an old and a missing signature make bolt answer 401, and the proper retry is taken."""
    payload = {"type": "event_callback", "event": {"type": "app_mention", "text": "forged"}}
    answer = await happen(fake, "http", url=events_url, payload=payload, flaw=flaw)
    assert (answer["status"], answer["reason"], recorder.events) == (401, "http_error", [])
    fake.fail("event", flaw)
    await happen(fake, "app_mention", twin=False)
    await settled(fake)
    assert len(recorder.events) == 1
    assert recorder.retries == ["1"]


async def test_http_bodies_can_be_malformed(fake: FakeSlack, events_url: str) -> None:
    """A body that is no JSON arrives as it is, properly signed."""
    answer = await happen(fake, "http", url=events_url, payload='{"type": "event_callb')
    (request,) = [line for line in fake.journal if line.kind == "http" and "payload" in line.payload][-1:]
    assert request.payload["payload"] == '{"type": "event_callb'
    assert answer["status"] not in (401, None)


@pytest.mark.usefixtures("events_url")
async def test_http_failures_bring_retries_with_reasons(fake: FakeSlack, recorder: Recorder) -> None:
    """An app that answers 500 gets the event again three times, with the try's number and reason."""
    recorder.broken = True
    await happen(fake, "app_mention", twin=False)
    await settled(fake)
    (event,) = fake.unacked_events()
    assert (event["state"], len(event["attempts"])) == ("lost", 4)
    retries = [line.payload["retry"] for line in fake.journal if line.kind == "http" and line.direction == "out"]
    assert retries[1:] == [None, (1, "http_error"), (2, "http_error"), (3, "http_error")]


async def test_http_timeouts_refusals_and_no_retry(make_fake: MakeFake) -> None:
    """A slow app, a server that is away and a request for no retry each end in their own way."""
    fake = make_fake(rules=Rules(ack_timeout_s=0.05))

    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(0.2)
        return web.Response()

    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=400, headers={"X-Slack-No-Retry": "1"})

    app = web.Application()
    app.router.add_post("/slack/events", slow)
    app.router.add_post("/slack/refuse", refuse)
    async with served(app) as url:
        answer = await happen(fake, "http", url=url, payload={}, retry=[2, "http_error"])
        assert answer["reason"] == "http_timeout"
        fake.deliveries.events_url = url.replace("events", "refuse")
        await happen(fake, "app_mention", twin=False)
        await settled(fake)
        assert [len(event["attempts"]) for event in fake.unacked_events()] == [1]
        with pytest.raises(ValueError, match="challenge"):
            await happen(fake, "subscribe_url", url=url)
    assert (await happen(fake, "http", url=url, payload={}))["reason"] == "connection_failed"


# --- the words


def test_a_mention_makes_two_events(fake: FakeSlack) -> None:
    """A mention in a channel is told as app_mention and as message, with one ts and two event ids."""
    injected = fake.happen("app_mention", channel="G1", text="how?", user="U7")
    mention, message = told(fake)
    assert (mention["type"], message["type"]) == ("app_mention", "message")
    assert mention["ts"] == message["ts"] == mention["event_ts"] == injected["ts"]
    assert (message["channel_type"], "channel_type" in mention) == ("group", False)
    assert len(set(injected["event_ids"])) == 2
    assert (mention["user"], mention["client_msg_id"]) == ("U7", message["client_msg_id"])


def test_direct_messages_and_threads(fake: FakeSlack) -> None:
    """A direct message is told as message.im even with a mention, and a reply carries its thread."""
    fake.happen("dm", user="U3", text="<@UBOT> psst")
    question = fake.happen("message", channel="C1", text="no mention")
    fake.happen("message", channel="C1", text="a reply", thread_ts=question["ts"], user="U3")
    direct, _, reply = told(fake)
    assert (direct["type"], direct["channel_type"], direct["channel"]) == ("message", "im", "D3")
    assert (reply["thread_ts"], reply["parent_user_id"]) == (question["ts"], "U2")


def test_edits_and_deletions(fake: FakeSlack) -> None:
    """An edit is a message_changed with a new event and no second app_mention; a deletion is a message_deleted."""
    ts = fake.happen("app_mention", text="hwo?", twin=False)["ts"]
    fake.happen("edit", channel="C1", ts=ts, text="<@UBOT> how?")
    fake.happen("delete", channel="C1", ts=ts)
    mention, changed, deleted = told(fake)
    assert (changed["subtype"], changed["message"]["text"], changed["message"]["ts"]) == (
        "message_changed",
        "<@UBOT> how?",
        ts,
    )
    assert changed["previous_message"]["text"] == mention["text"] == "<@UBOT> hwo?"
    assert (deleted["subtype"], deleted["deleted_ts"]) == ("message_deleted", ts)
    assert fake.visible_messages("C1") == []


async def test_a_deleted_question_with_answers_leaves_a_tombstone(fake: FakeSlack) -> None:
    """A deleted message with replies is told as a change to a tombstone, and its thread still takes answers."""
    client, ts = web_client(fake), fake.happen("app_mention", twin=False)["ts"]
    await client.chat_postMessage(channel="C1", thread_ts=ts, text="first")
    fake.happen("delete", channel="C1", ts=ts)
    assert (told(fake)[-1]["subtype"], told(fake)[-1]["message"]["subtype"]) == ("message_changed", "tombstone")
    await client.chat_postMessage(channel="C1", thread_ts=ts, text="second")
    replies = await client.conversations_replies(channel="C1", ts=ts)
    assert [m["text"] for m in replies["messages"]] == ["This message was deleted.", "first", "second"]
    assert [m.text for m in fake.answers("C1", ts)] == ["first", "second"]


@pytest.mark.parametrize("echo", [True, False])
async def test_an_app_hears_itself(make_fake: MakeFake, echo: bool) -> None:
    """An app is told of its own posts, edits and deletions, unless that is switched off."""
    fake = make_fake(rules=Rules(echo_own_messages=echo))
    client = web_client(fake)
    ts = (await client.chat_postMessage(channel="C1", text="<@UBOT> is me"))["ts"]
    await client.chat_update(channel="C1", ts=ts, text="still me")
    await client.chat_delete(channel="C1", ts=ts)
    events = told(fake)
    assert [event.get("subtype") for event in events] == ([None, "message_changed", "message_deleted"] if echo else [])
    assert all(event["bot_id"] == "BBOT" and event["app_id"] == "A1" for event in events[:1])


def test_only_subscribed_events_of_ones_own_channels_come(make_fake: MakeFake) -> None:
    """An app hears nothing of channels that it is not in, and nothing that it did not subscribe to."""
    fake = make_fake(subscriptions=["app_mention"])
    fake.happen("message", channel="C1")
    fake.happen("channel", channel="C2", is_member=False)
    fake.happen("app_mention", channel="C2")
    fake.happen("message", channel="C1", text="<@UBOT>", bot_id="BOTHER", subtype="bot_message")
    (event,) = told(fake)
    assert (event["bot_id"], event["subtype"]) == ("BOTHER", "bot_message")


def test_only_what_is_there_can_be_clicked(fake: FakeSlack) -> None:
    """A click on a button that the message does not show is an error of the test."""
    ts = fake.happen("message", text="no buttons")["ts"]
    with pytest.raises(ValueError, match="no such button"):
        fake.happen("click", channel="C1", ts=ts, action_id="fb")
    with pytest.raises(ValueError, match="no message"):
        fake.happen("click", channel="C1", ts="1.000001")


async def test_a_click_is_told_once(make_fake: MakeFake) -> None:
    """An interaction that nobody takes is not tried again, and does not count as an event."""
    fake = make_fake()
    ts = (await web_client(fake).chat_postMessage(channel="D2", text="answer", blocks=[FEEDBACK]))["ts"]
    fake.happen("click", channel="D2", ts=ts, action_id="fb")
    await settled(fake)
    (click,) = [delivery for delivery in fake.deliveries.all if delivery.kind == "interactive"]
    assert (click.state, len(click.attempts)) == ("lost", 1)
    async with aiohttp.ClientSession() as session:
        await session.post(click.payload["response_url"], json={"text": "thanks"})
    assert [line.payload for line in fake.journal if line.kind == "response_url"] == [{"text": "thanks"}]


# --- control from another process


async def test_the_fake_is_controlled_over_http(fake: FakeSlack) -> None:
    """Injecting, ordering faults and looking at state and journal work over HTTP; nonsense gives 400."""
    async with aiohttp.ClientSession(f"{fake.url}/_control/") as session:

        async def post(path: str, body: dict[str, Any]) -> tuple[int, Any]:
            async with session.post(path, json=body) as response:
                return response.status, await response.json()

        status, injected = await post("inject", {"type": "app_mention", "text": "how?", "channel": "C1"})
        assert (status, len(injected["event_ids"])) == (200, 2)
        order = {"kind": "chat.update", "name": "error", "times": 2, "detail": {"error": "is_archived"}}
        assert await post("fault", order) == (200, order)
        for path, body in [
            ("fault", {"kind": "x", "name": "y"}),
            ("inject", {"type": "rain"}),
            ("inject", {"type": "edit"}),
        ]:
            status, answer = await post(path, body)
            assert status == 400
            assert "error" in answer
        state = await (await session.get("state")).json()
        assert [message["text"] for message in state["channels"]["C1"]] == ["<@UBOT> how?"]
        assert len(state["unacked_events"]) == 2
        await web_client(fake).auth_test()
        journal = await (await session.get("journal")).json()
        assert {"auth.test"} <= {line["kind"] for line in journal}


def test_the_fake_runs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python -m tests.fakes.slack --port 0 prints the settings of a server that answers."""
    remove_proxies(monkeypatch)
    command = [sys.executable, "-m", "tests.fakes.slack", "--port", "0", "--time-scale", "0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        settings = dict(process.stdout.readline().rstrip("\n").split("=", 1) for _ in range(4))
        client = WebClient(token=settings["FENNEL_SLACK__BOT_TOKEN"], base_url=settings["FENNEL_SLACK__API_URL"])
        assert client.auth_test()["ok"]
        process.terminate()
    assert settings["FENNEL_SLACK__API_URL"].startswith("http://127.0.0.1:")
    assert settings["FENNEL_SLACK__BOT_TOKEN"].startswith("xoxb-")
    assert settings["FENNEL_SLACK__APP_TOKEN"].startswith("xapp-")
    assert settings["FENNEL_SLACK__SIGNING_SECRET"]
