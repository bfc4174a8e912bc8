"""What the fake Slack shows: replies, history, people, statuses, reactions."""

from __future__ import annotations

import functools
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

from tests.fakes.slack import FakeSlack, Rules
from tests.fakes.slack_clients import MakeFake, error_of, web_client

FAKE = functools.partial(FakeSlack, time_scale=0.01)
"""A minute of Slack's lasts 0.6 s."""


# --- reading back


async def test_replies_show_metadata_only_when_asked(client: AsyncWebClient, question_ts: str) -> None:
    """conversations.replies begins with the question and gives metadata only with include_all_metadata."""
    metadata = {"event_type": "answer", "event_payload": {"job": "7"}}
    await client.chat_postMessage(channel="C1", thread_ts=question_ts, text="a", metadata=metadata)
    without = await client.conversations_replies(channel="C1", ts=question_ts)
    assert [m.get("metadata") for m in without["messages"]] == [None, None]
    answer = await client.conversations_replies(
        channel="C1", ts=question_ts, include_all_metadata=True, oldest=question_ts
    )
    assert [m.get("metadata") for m in answer["messages"]] == [None, metadata]
    assert [m.get("bot_id") for m in answer["messages"]] == [None, "BBOT"]
    assert await error_of(client.conversations_replies(channel="C1", ts="1.000001")) == "thread_not_found"


async def test_history_is_paged_and_leaves_replies_out(
    fake: FakeSlack, client: AsyncWebClient, question_ts: str
) -> None:
    """conversations.history gives what stands in the channel, newest first, page by page, between two times."""
    await client.chat_postMessage(channel="C1", thread_ts=question_ts, text="a reply")
    for number in range(3):
        fake.happen("message", channel="C1", text=f"m{number}")
    page = await client.conversations_history(channel="C1", limit=3)
    assert [m["text"] for m in page["messages"]] == ["m2", "m1", "m0"]
    assert page["has_more"]
    rest = await client.conversations_history(channel="C1", limit=3, cursor=page["response_metadata"]["next_cursor"])
    assert [m.get("reply_count") for m in rest["messages"]] == [1]
    later = await client.conversations_history(channel="C1", oldest=question_ts)
    assert len(later["messages"]) == 3
    assert await error_of(client.conversations_history(channel="C1", cursor="nonsense")) == "invalid_cursor"


async def test_conversations_and_people(fake: FakeSlack, client: AsyncWebClient) -> None:
    """The bot can list where it is, and look up channels and people."""
    fake.happen("channel", channel="C2", is_member=False)
    fake.happen("dm", user="U2", text="psst")
    types = "public_channel,private_channel,im"
    mine = await client.users_conversations(types=types)
    assert [channel["id"] for channel in mine["channels"]] == ["C1", "G1", "D2"]
    everything = await client.conversations_list(types=types)
    assert [channel["id"] for channel in everything["channels"]] == ["C1", "G1", "D2", "C2"]
    assert (await client.conversations_info(channel="D2"))["channel"]["is_im"]
    assert (await client.users_info(user="U2"))["user"]["name"] == "Ada"
    assert await error_of(client.users_info(user="U99")) == "user_not_found"
    assert (await client.api_test(foo="bar"))["args"]["foo"] == "bar"


# --- status, reactions


async def test_a_status_goes_away(make_fake: MakeFake) -> None:
    """A status line ends with a post in its thread, with an empty status, and by itself after two minutes."""
    fake = make_fake(rules=Rules(status_life_s=50))
    client, ts = web_client(fake), fake.happen("app_mention")["ts"]

    async def set_status(text: str, **more: Any) -> str:
        await client.assistant_threads_setStatus(channel_id="C1", thread_ts=ts, status=text, **more)
        return fake.visible_status("C1", ts)

    assert await set_status("is thinking...", loading_messages=["a", "b"]) == "is thinking..."
    assert await set_status("") == ""
    assert await set_status("is thinking...") == "is thinking..."
    await client.chat_postMessage(channel="C1", thread_ts=ts, text="done")
    assert fake.visible_status("C1", ts) == ""
    assert await set_status("is thinking...") == "is thinking..."
    await fake.eventually(lambda: not fake.visible_status("C1", ts))
    too_many = client.assistant_threads_setStatus(
        channel_id="C1", thread_ts=ts, status="x", loading_messages=["m"] * 11
    )
    assert await error_of(too_many) == "invalid_arguments"
    wrong = client.assistant_threads_setStatus(channel_id="C1", thread_ts="1.000001", status="x")
    assert await error_of(wrong) == "invalid_thread_ts"


async def test_sessions_have_four_states(fake: FakeSlack, client: AsyncWebClient, question_ts: str) -> None:
    """agents.sessions.setStatus takes the known states only."""
    await client.agents_sessions_setStatus(channel_id="C1", thread_ts=question_ts, status="processing")
    assert fake.workspace.sessions["C1", question_ts] == "processing"
    wrong = client.agents_sessions_setStatus(channel_id="C1", thread_ts=question_ts, status="busy")
    assert await error_of(wrong) == "invalid_status"


async def test_a_reaction_is_there_once(fake: FakeSlack, client: AsyncWebClient, question_ts: str) -> None:
    """A reaction can be added once and removed once."""
    eyes = {"channel": "C1", "timestamp": question_ts, "name": "eyes"}
    await client.reactions_add(**eyes)
    assert fake.visible_messages("C1")[0].reactions == {"eyes": ["UBOT"]}
    assert await error_of(client.reactions_add(**eyes)) == "already_reacted"
    await client.reactions_remove(**eyes)
    assert await error_of(client.reactions_remove(**eyes)) == "no_reaction"
