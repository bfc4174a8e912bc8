"""The fake Slack's Web API, rule by rule, as Slack's own client sees it."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tests.fakes.slack import FakeSlack, Rules
from tests.fakes.slack_clients import FEEDBACK, MakeFake, error_of, web_client

FAKE = functools.partial(FakeSlack, time_scale=0.01)
"""A minute of Slack's lasts 0.6 s."""


# --- tokens and arguments


async def test_tokens_are_asked_for(fake: FakeSlack, client: AsyncWebClient) -> None:
    """A call without a token, with a wrong one or with one of the wrong type is refused each in its way."""
    urls = fake.urls()
    assert await error_of(web_client(fake, token=None).auth_test()) == "not_authed"
    assert await error_of(web_client(fake, token="xoxb-other").auth_test()) == "invalid_auth"
    app_token = urls["FENNEL_SLACK__APP_TOKEN"]
    assert await error_of(web_client(fake, token=app_token).auth_test()) == "not_allowed_token_type"
    assert await error_of(client.apps_connections_open(app_token=urls["FENNEL_SLACK__BOT_TOKEN"])) == (
        "not_allowed_token_type"
    )
    assert await error_of(client.api_call("chat.doesNotExist")) == "unknown_method"


async def test_auth_test_tells_who_and_which_scopes(client: AsyncWebClient) -> None:
    """auth.test names the bot, and its header lists the scopes."""
    answer = await client.auth_test()
    assert (answer["user_id"], answer["bot_id"], answer["team_id"]) == ("UBOT", "BBOT", "T1")
    assert "chat:write" in answer.headers["x-oauth-scopes"].split(",")


async def test_a_missing_scope_is_named(make_fake: MakeFake) -> None:
    """A call that the token has no scope for says which scope it needs."""
    client = web_client(make_fake(scopes=["channels:history"]))
    answer = await client.conversations_history(channel="C1")
    assert answer["messages"] == []
    assert await error_of(client.chat_postMessage(channel="C1", text="hi")) == "missing_scope"
    assert await error_of(client.conversations_history(channel="G1")) == "missing_scope"


def test_arguments_may_come_as_json_form_and_query(fake: FakeSlack, question_ts: str) -> None:
    """The same argument is understood in a JSON body, in a form with JSON inside, and in the query."""
    urls = fake.urls()
    client = WebClient(token=urls["FENNEL_SLACK__BOT_TOKEN"], base_url=urls["FENNEL_SLACK__API_URL"])
    blocks = '[{"type": "markdown", "text": "as a form"}]'
    client.api_call("chat.postMessage", json={"channel": "C1", "text": "as json", "thread_ts": question_ts})
    client.api_call("chat.postMessage", data={"channel": "C1", "blocks": blocks, "thread_ts": question_ts})
    client.api_call(
        "chat.postMessage", params={"channel": "C1", "text": "as query", "thread_ts": question_ts}, http_verb="GET"
    )
    assert [m.shown for m in fake.answers("C1", question_ts)] == ["as json", "as a form", "as query"]


# --- posting, editing, deleting


async def test_ts_is_unique_and_grows(client: AsyncWebClient) -> None:
    """Messages posted at the same time get different timestamps, and each call's is greater than those before."""
    answers = await asyncio.gather(*(client.chat_postMessage(channel="C1", text=str(n)) for n in range(5)))
    first = sorted(answer["ts"] for answer in answers)
    assert len(set(first)) == 5
    assert (await client.chat_postMessage(channel="D2", text="later"))["ts"] > first[-1]


async def test_where_a_bot_cannot_post(fake: FakeSlack, client: AsyncWebClient) -> None:
    """Unknown, archived and foreign channels and threads that are gone are refused, each with its own error."""
    assert await error_of(client.chat_postMessage(channel="C9", text="x")) == "channel_not_found"
    fake.happen("channel", channel="C2", is_member=False)
    assert await error_of(client.chat_postMessage(channel="C2", text="x")) == "not_in_channel"
    fake.happen("channel", channel="G1", is_member=False)
    assert await error_of(client.chat_postMessage(channel="G1", text="x")) == "channel_not_found"
    fake.happen("channel", channel="C3", is_archived=True)
    assert await error_of(client.chat_postMessage(channel="C3", text="x")) == "is_archived"
    gone = fake.happen("message", channel="C1", text="soon gone")["ts"]
    fake.happen("delete", channel="C1", ts=gone)
    assert await error_of(client.chat_postMessage(channel="C1", text="x", thread_ts=gone)) == "thread_not_found"
    assert await error_of(client.api_call("chat.postMessage", json={"channel": "C1"})) == "no_text"


async def test_an_edit_keeps_its_history(fake: FakeSlack, client: AsyncWebClient) -> None:
    """chat.update replaces a message: a text alone takes the blocks away, metadata stays, the old words are kept."""
    metadata = {"event_type": "answer", "event_payload": {"job": "7"}}
    blocks = [{"type": "markdown", "text": "**rich**"}, FEEDBACK]
    ts = (await client.chat_postMessage(channel="C1", text="rich", blocks=blocks, metadata=metadata))["ts"]
    await client.chat_update(channel="C1", ts=ts, text="plain")
    (message,) = fake.visible_messages("C1")
    assert (message.shown, message.blocks, message.edited_mark) == ("plain", [], True)
    assert [edit.blocks for edit in message.edits] == [blocks]
    assert message.metadata == metadata
    await client.chat_update(channel="C1", ts=ts, text="plain", metadata={})
    assert fake.visible_messages("C1")[0].metadata is None


async def test_only_own_living_messages_can_be_edited(fake: FakeSlack, client: AsyncWebClient) -> None:
    """Editing or deleting another's message, a deleted one or one in an archived channel is refused."""
    other = fake.happen("message", channel="C1", text="mine")["ts"]
    assert await error_of(client.chat_update(channel="C1", ts=other, text="x")) == "cant_update_message"
    assert await error_of(client.chat_delete(channel="C1", ts=other)) == "cant_delete_message"
    ts = (await client.chat_postMessage(channel="C1", text="hi"))["ts"]
    await client.chat_delete(channel="C1", ts=ts)
    assert await error_of(client.chat_update(channel="C1", ts=ts, text="x")) == "message_not_found"
    ts = (await client.chat_postMessage(channel="C1", text="hi"))["ts"]
    fake.happen("channel", channel="C1", is_archived=True)
    assert await error_of(client.chat_update(channel="C1", ts=ts, text="x")) == "is_inactive"


async def test_text_limits(fake: FakeSlack, client: AsyncWebClient) -> None:
    """A posted text is cut at 40,000 characters with a warning; an edit's text must keep below 4,000."""
    answer = await client.chat_postMessage(channel="C1", text="语" * 40_001)
    assert answer["warning"] == "message_truncated"
    assert len(fake.visible_messages("C1")[0].text) == 40_000
    assert await error_of(client.chat_update(channel="C1", ts=answer["ts"], text="x" * 4_001)) == "msg_too_long"
    await client.chat_update(channel="C1", ts=answer["ts"], text="🙂" * 4_000)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ({"markdown_text": "x" * 12_001}, "msg_too_long"),
        ({"markdown_text": "x", "text": "y"}, "markdown_text_conflict"),
        ({"text": "x", "blocks": [{"type": "markdown", "text": "x" * 12_001}]}, "msg_blocks_too_long"),
        (
            {"text": "x", "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3_000}}] * 5},
            "msg_blocks_too_long",
        ),
        (
            {"text": "x", "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3_001}}]},
            "invalid_blocks",
        ),
        ({"text": "x", "blocks": [{"type": "divider"}] * 51}, "msg_blocks_too_many"),
        (
            {"text": "x", "blocks": [{"type": "context_actions", "elements": [{"type": "icon_button"}] * 6}]},
            "invalid_blocks",
        ),
        ({"text": "x", "blocks": ["no block"]}, "invalid_blocks_format"),
        ({"text": "x", "metadata": {"event_type": "a"}}, "invalid_metadata_format"),
        ({"text": "x", "metadata": {"event_type": "a", "event_payload": {"x": "y" * 16_000}}}, "metadata_too_large"),
    ],
)
async def test_content_limits(client: AsyncWebClient, content: dict[str, Any], error: str) -> None:
    """Content beyond a limit of Slack's is refused with that limit's error."""
    assert await error_of(client.chat_postMessage(channel="C1", **content)) == error


@pytest.mark.parametrize(("unit", "accepted"), [("characters", True), ("utf16", False)])
async def test_the_unit_of_length_can_be_chosen(make_fake: MakeFake, unit: str, accepted: bool) -> None:
    """An emoji counts as one or as two at a limit, as the rules say, because Slack does not."""
    client = web_client(make_fake(rules=Rules(length_unit=unit)))
    call = client.chat_postMessage(channel="C1", markdown_text="🙂" * 12_000)
    if accepted:
        assert (await call)["ok"]
    else:
        assert await error_of(call) == "msg_too_long"


@pytest.mark.parametrize(("dedupe", "posts"), [(True, 1), (False, 2)])
async def test_client_msg_id_dedupes_where_switched_on(make_fake: MakeFake, dedupe: bool, posts: int) -> None:
    """The same client_msg_id gives the same message again, or another one, as the rules say."""
    fake = make_fake(rules=Rules(dedupe_client_msg_id=dedupe))
    client = web_client(fake)
    answers = [await client.chat_postMessage(channel="C1", text="once", client_msg_id="a-uuid") for _ in range(2)]
    assert len(fake.visible_messages("C1")) == posts
    assert len({answer["ts"] for answer in answers}) == posts
    await client.chat_delete(channel="C1", ts=answers[0]["ts"])
    if dedupe:
        again = client.chat_postMessage(channel="C1", text="once", client_msg_id="a-uuid")
        assert await error_of(again) == "duplicate_message_not_found"


async def test_mass_mentions_are_seen(fake: FakeSlack, client: AsyncWebClient) -> None:
    """A message that would notify a whole channel is told apart from one that only speaks of it."""
    await client.chat_postMessage(channel="C1", text="<!channel> hello")
    await client.chat_postMessage(channel="C1", text="&lt;!channel&gt; hello")
    assert [message.notifies_everyone for message in fake.visible_messages("C1")] == [True, False]


@pytest.mark.parametrize("enforced", [True, False])
async def test_calls_above_a_rate(make_fake: MakeFake, enforced: bool) -> None:
    """The sixth post in a second in one channel is above the rate: refused with Retry-After, or only written down."""
    fake = make_fake(time_scale=1, enforce_rates=enforced)
    client = web_client(fake)
    for number in range(5):
        await client.chat_postMessage(channel="C1", text=str(number))
    await client.chat_postMessage(channel="D2", text="another channel")
    assert fake.sends_above_rate() == []
    if enforced:
        response = await _refused(client)
        assert (response.status_code, response["error"]) == (429, "ratelimited")
        assert 1 <= int(response.headers["Retry-After"]) <= 5
    else:
        await client.chat_postMessage(channel="C1", text="5")
    assert [(call["method"], call["channel"]) for call in fake.sends_above_rate()] == [("chat.postMessage", "C1")]


async def _refused(client: AsyncWebClient) -> Any:
    with pytest.raises(SlackApiError) as caught:
        await client.chat_postMessage(channel="C1", text="5")
    return caught.value.response


async def test_starts_of_streams_share_one_rate(make_fake: MakeFake) -> None:
    """The twenty-first stream started in a minute is refused, whatever its channel, and the next minute's is not."""
    fake = make_fake(time_scale=0.02)
    client, ts = web_client(fake), fake.happen("dm", user="U2")["ts"]
    for _ in range(20):
        await client.chat_startStream(channel="D2", thread_ts=ts, markdown_text="x")
    assert await error_of(client.chat_startStream(channel="D2", thread_ts=ts, markdown_text="x")) == "ratelimited"
    await asyncio.sleep(fake.scaled(60))
    await client.chat_startStream(channel="D2", thread_ts=ts, markdown_text="x")
