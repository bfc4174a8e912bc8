"""The fake Slack's streams, and everything that can go wrong with a call to it."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tests.fakes.slack import FakeSlack, Rules
from tests.fakes.slack_clients import FEEDBACK, RECIPIENT, MakeFake, error_of, web_client

FAKE = functools.partial(FakeSlack, time_scale=0.01)
"""A stream's five minutes last 3 s."""


async def start(client: AsyncWebClient, thread_ts: str, **content: Any) -> str:
    """Start a stream in C1 and give its ts."""
    return str((await client.chat_startStream(channel="C1", thread_ts=thread_ts, **RECIPIENT, **content))["ts"])


# --- streams


async def test_the_streaming_helper_makes_one_message(
    fake: FakeSlack, client: AsyncWebClient, question_ts: str
) -> None:
    """chat_stream's start, appends and stop give one message with all text, blocks and metadata."""
    stream = await client.chat_stream(channel="C1", thread_ts=question_ts, buffer_size=4, **RECIPIENT)
    await stream.append(markdown_text="**hello** ")
    assert [m.stream_state for m in fake.answers("C1", question_ts)] == ["streaming"]
    task = {"type": "task_update", "id": "t", "title": "Search", "status": "in_progress"}
    await stream.append(markdown_text="wor", chunks=[task])
    await stream.append(chunks=[{**task, "status": "complete"}])
    metadata = {"event_type": "answer", "event_payload": {"job": "7"}}
    await stream.stop(markdown_text="ld", blocks=[FEEDBACK], metadata=metadata)
    (answer,) = fake.answers("C1", question_ts)
    assert (answer.shown, answer.stream_state, answer.appends) == ("**hello** world", "stopped", 2)
    assert (answer.buttons, answer.metadata) == (["fb"], metadata)
    assert [task["status"] for task in answer.tasks] == ["complete"]


async def test_a_stream_in_a_channel_needs_its_reader(
    fake: FakeSlack, client: AsyncWebClient, question_ts: str
) -> None:
    """In channels both ids of the reader are needed, in direct messages none; a thread is needed everywhere."""
    team: dict[str, Any] = {"channel": "C1", "thread_ts": question_ts, "recipient_team_id": "T1"}
    missing_team = client.chat_startStream(channel="C1", thread_ts=question_ts)
    assert await error_of(missing_team) == "missing_recipient_team_id"
    assert await error_of(client.chat_startStream(**team)) == "missing_recipient_user_id"
    assert await error_of(client.chat_startStream(**team, recipient_user_id="U99")) == "user_not_found"
    no_thread = client.api_call("chat.startStream", json={"channel": "C1", **RECIPIENT})
    assert await error_of(no_thread) == "invalid_arguments"
    direct = fake.happen("dm", user="U2")
    assert (await client.chat_startStream(channel="D2", thread_ts=direct["ts"]))["ok"]


async def test_a_stopped_stream_takes_no_more(client: AsyncWebClient, question_ts: str) -> None:
    """After its stop a stream can be edited, and neither appended to nor stopped again."""
    ts = await start(client, question_ts, markdown_text="a")
    assert await error_of(client.chat_update(channel="C1", ts=ts, text="x")) == "streaming_state_conflict"
    assert await error_of(client.chat_delete(channel="C1", ts=ts)) == "cant_delete_message"
    assert await error_of(client.api_call("chat.appendStream", json={"channel": "C1", "ts": ts})) == "no_text"
    await client.chat_stopStream(channel="C1", ts=ts)
    late = client.chat_appendStream(channel="C1", ts=ts, markdown_text="b")
    assert await error_of(late) == "message_not_in_streaming_state"
    assert await error_of(client.chat_stopStream(channel="C1", ts=ts)) == "message_not_in_streaming_state"
    await client.chat_update(channel="C1", ts=ts, text="x")
    plain = (await client.chat_postMessage(channel="C1", text="never a stream"))["ts"]
    never = client.chat_appendStream(channel="C1", ts=plain, markdown_text="b")
    assert await error_of(never) == "message_not_in_streaming_state"


@pytest.mark.parametrize("rules", [Rules(stream_life_s=20), Rules(stream_idle_s=20)])
async def test_a_stream_ends_by_itself(make_fake: MakeFake, rules: Rules) -> None:
    """After its time, or after long silence, a stream takes nothing but an edit of the whole text."""
    fake = make_fake(rules=rules)
    client, question_ts = web_client(fake), fake.happen("app_mention")["ts"]
    ts = await start(client, question_ts, markdown_text="half")
    await fake.eventually(lambda: fake.answers("C1", question_ts)[0].stream_state == "expired")
    append = client.chat_appendStream(channel="C1", ts=ts, markdown_text="x")
    assert await error_of(append) == "message_not_in_streaming_state"
    assert await error_of(client.chat_stopStream(channel="C1", ts=ts)) == "message_not_in_streaming_state"
    await client.chat_update(channel="C1", ts=ts, text="whole")
    (answer,) = fake.answers("C1", question_ts)
    assert (answer.shown, answer.stream_state) == ("whole", "replaced")
    assert [edit.text for edit in answer.edits] == ["half"]
    blocks = [{"type": "markdown", "text": "**whole**"}]
    await client.chat_update(channel="C1", ts=ts, text="for notifications", blocks=blocks)
    assert fake.answers("C1", question_ts)[0].shown == "**whole**"


async def test_a_person_stops_a_stream(fake: FakeSlack, client: AsyncWebClient, question_ts: str) -> None:
    """After a person's stop, appending and stopping say so."""
    ts = await start(client, question_ts, markdown_text="a")
    fake.happen("stop_stream", channel="C1", ts=ts)
    append = client.chat_appendStream(channel="C1", ts=ts, markdown_text="b")
    assert await error_of(append) == "stopped_by_user"
    assert await error_of(client.chat_stopStream(channel="C1", ts=ts)) == "stopped_by_user"
    assert fake.answers("C1", question_ts)[0].stream_state == "stopped_by_user"


async def test_a_stream_keeps_its_shape_and_limits(client: AsyncWebClient, question_ts: str) -> None:
    """A stream takes the kind of content that it was opened with, in known chunks, up to Slack's lengths."""
    both: dict[str, Any] = {"markdown_text": "a", "chunks": [{"type": "markdown_text", "text": "b"}]}
    refused = client.chat_startStream(channel="C1", thread_ts=question_ts, **RECIPIENT, **both)
    assert await error_of(refused) == "cannot_provide_both_markdown_text_and_chunks"
    ts = await start(client, question_ts, markdown_text="a" * 12_000)

    def append(**content: Any) -> Any:
        return client.api_call("chat.appendStream", json={"channel": "C1", "ts": ts, **content})

    chunk = {"type": "markdown_text", "text": "b"}
    assert await error_of(append(chunks=[chunk])) == "streaming_mode_mismatch"
    assert await error_of(append(chunks=[{"type": "poem", "text": "b"}])) == "invalid_chunks"
    assert await error_of(append(markdown_text="b" * 12_001)) == "msg_too_long"
    assert await error_of(append(markdown_text="b" * 1_201)) == "msg_blocks_too_long"
    await append(markdown_text="b" * 1_200)


# --- calls that fail


async def test_an_error_can_be_ordered(fake: FakeSlack, client: AsyncWebClient) -> None:
    """A method answers with a chosen error as many times as ordered, and works again after."""
    fake.fail("chat.postMessage", "error", times=2, error="channel_not_found")
    for _ in range(2):
        assert await error_of(client.chat_postMessage(channel="C1", text="x")) == "channel_not_found"
    await client.chat_postMessage(channel="C1", text="x")
    assert len(fake.visible_messages("C1")) == 1


async def test_a_rate_limit_can_be_ordered(fake: FakeSlack, client: AsyncWebClient) -> None:
    """The answer is status 429 with the chosen Retry-After."""
    fake.fail("chat.update", "ratelimited", retry_after_s=7)
    with pytest.raises(SlackApiError) as caught:
        await client.chat_update(channel="C1", ts="1.1", text="x")
    response = caught.value.response
    assert (response.status_code, response["error"], response.headers["Retry-After"]) == (429, "ratelimited", "7")


@pytest.mark.parametrize("commit", [True, False])
@pytest.mark.parametrize("status", [500, 502, 503])
async def test_a_page_instead_of_an_answer(fake: FakeSlack, client: AsyncWebClient, status: int, commit: bool) -> None:
    """A server error comes as HTML, and the call was carried out or not, as ordered."""
    fake.fail("chat.postMessage", "http", status=status, commit=commit)
    with pytest.raises(SlackApiError) as caught:
        await client.chat_postMessage(channel="C1", text="x")
    assert f"{status}" in str(caught.value)
    assert len(fake.visible_messages("C1")) == commit


@pytest.mark.parametrize("commit", [True, False])
async def test_broken_json(fake: FakeSlack, client: AsyncWebClient, commit: bool) -> None:
    """Status 200 comes with JSON that ends too early."""
    fake.fail("chat.postMessage", "broken_json", commit=commit)
    with pytest.raises(SlackApiError) as caught:
        await client.chat_postMessage(channel="C1", text="x")
    assert isinstance(caught.value.response, aiohttp.ClientResponse)
    assert len(fake.visible_messages("C1")) == commit


@pytest.mark.parametrize("commit", [True, False])
async def test_a_lost_connection(fake: FakeSlack, client: AsyncWebClient, commit: bool) -> None:
    """The connection is lost after the call was carried out, or before, and the client cannot tell which."""
    fake.fail("chat.postMessage", "drop", commit=commit)
    with pytest.raises(aiohttp.ClientConnectionError):
        await client.chat_postMessage(channel="C1", text="x")
    assert len(fake.visible_messages("C1")) == commit


async def test_the_default_client_posts_twice(fake: FakeSlack) -> None:
    """The SDK's own retry after a lost connection makes a second message, as it does on Slack."""
    fake.fail("chat.postMessage", "drop", commit=True)
    client = web_client(fake, retry_handlers=None)
    assert (await client.chat_postMessage(channel="C1", text="x"))["ok"]
    assert len(fake.visible_messages("C1")) == 2


async def test_an_answer_later_than_the_client_waits(fake: FakeSlack) -> None:
    """A slow call is carried out although its client gives up."""
    fake.fail("chat.postMessage", "slow", delay_s=30)
    call = web_client(fake).chat_postMessage(channel="C1", text="x")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(call, 0.3)
    assert [message.text for message in fake.visible_messages("C1")] == ["x"]


async def test_slow_calls_are_answered_in_the_end(fake: FakeSlack, client: AsyncWebClient) -> None:
    """A call that is slow before it is carried out is answered like any other."""
    fake.fail("apps.connections.open", "slow", delay_s=0.05, commit=False)
    answer = await client.apps_connections_open(app_token=fake.urls()["FENNEL_SLACK__APP_TOKEN"])
    assert answer["url"].startswith("ws://127.0.0.1:")


@pytest.mark.parametrize(
    ("name", "call", "error"),
    [
        ("message_deleted", "chat.appendStream", "message_not_found"),
        ("stream_expired", "chat.appendStream", "message_not_in_streaming_state"),
        ("stream_expired", "chat.stopStream", "message_not_in_streaming_state"),
        ("stopped_by_user", "chat.appendStream", "stopped_by_user"),
        ("message_deleted", "chat.update", "message_not_found"),
    ],
)
async def test_something_happens_just_before_a_call(
    fake: FakeSlack, client: AsyncWebClient, question_ts: str, name: str, call: str, error: str
) -> None:
    """A message is deleted, or its stream ends, between two calls of its author."""
    ts = await start(client, question_ts, markdown_text="a")
    fake.fail(call, name)
    body = {"channel": "C1", "ts": ts, "text" if call == "chat.update" else "markdown_text": "b"}
    assert await error_of(client.api_call(call, json=body)) == error
