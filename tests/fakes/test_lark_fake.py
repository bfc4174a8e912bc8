"""The fake Lark's tokens, people and faults, as a bare HTTP client sees them."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import ClientError

from tests.fakes.lark import Codes, FakeLark
from tests.fakes.lark_caller import Caller

CODES = Codes()
FAKE = FakeLark


# --- tokens and people


async def test_a_call_needs_a_valid_token(fake: FakeLark, caller: Caller) -> None:
    """Without a token a call is refused with 99991661, with one that was voided with 99991663."""
    fake.void_tokens()
    assert (await caller.request("GET", "/open-apis/bot/v3/info")).code == CODES.token_invalid
    caller.token = ""
    assert (await caller.request("GET", "/open-apis/bot/v3/info")).code == CODES.token_missing
    await caller.fetch_token()
    info = await caller.request("GET", "/open-apis/bot/v3/info")
    assert info.body["bot"]["open_id"] == fake.bot_open_id


async def test_a_token_ends(fake: FakeLark, caller: Caller) -> None:
    """A token is refused when its time is over, and a new one is told with the seconds that it has."""
    fake.change_rules(token_ttl_s=0.05)
    fake.void_tokens()
    await caller.fetch_token()
    await asyncio.sleep(0.06)
    assert (await caller.request("GET", "/open-apis/bot/v3/info")).code == CODES.token_invalid


async def test_a_wrong_secret_gets_no_token(fake: FakeLark, caller: Caller) -> None:
    """A wrong app secret is refused with HTTP 200 and code 10014."""
    body = {"app_id": fake.app_id, "app_secret": "wrong"}
    refused = await caller.request("POST", "/open-apis/auth/v3/tenant_access_token/internal", body)
    assert (refused.status, refused.code) == (200, CODES.bad_secret)


async def test_people_are_named(fake: FakeLark, caller: Caller) -> None:
    """People are found by their open ids; unknown ids are left out."""
    ada = fake.add_person("Ada")
    found = await caller.request("GET", "/open-apis/contact/v3/users/batch?user_ids=ou_nobody", user_ids=ada)
    assert [person["name"] for person in found.data["items"]] == ["Ada"]


# --- faults


async def test_a_code_is_answered_on_demand(fake: FakeLark, caller: Caller) -> None:
    """A fault gives any code for as many calls as told, without doing anything."""
    question = fake.say("why?")
    fake.fail("message.reply", "code", times=2, code=99991672, msg="scope missing")
    assert [(await caller.reply(question)).code for _ in range(3)] == [99991672, 99991672, 0]
    assert len(fake.answers_to(question)) == 1


async def test_too_often_is_answered_on_demand(fake: FakeLark, caller: Caller) -> None:
    """A rate-limit fault comes as HTTP 429 with the seconds to wait, and is no send above the rate."""
    fake.fail("message.create", "rate_limited", reset_s=7)
    refused = await caller.send(fake.add_chat())
    assert (refused.status, refused.code) == (429, CODES.rate_limited)
    assert refused.headers["x-ogw-ratelimit-reset"] == "7"
    assert fake.sends_above_rate() == []


@pytest.mark.parametrize(("name", "kept"), [("html", 0), ("broken_json", 0), ("commit_then_html", 1)])
async def test_an_answer_can_be_no_json(fake: FakeLark, caller: Caller, name: str, kept: int) -> None:
    """A gateway's page or half an answer comes in place of JSON, before or after the message was sent."""
    chat_id = fake.add_chat()
    fake.fail("message.create", name)
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        await caller.send(chat_id)
    assert len(fake.visible_messages(chat_id)) == kept


@pytest.mark.parametrize(("name", "kept"), [("drop", 0), ("commit_then_drop", 1)])
async def test_a_dropped_call_is_repeated_safely(fake: FakeLark, caller: Caller, name: str, kept: int) -> None:
    """When the connection drops before or after the message was sent, the same uuid leaves one message."""
    chat_id = fake.add_chat()
    fake.fail("message.create", name)
    with pytest.raises(ClientError):
        await caller.send(chat_id, uuid="u-1")
    assert len(fake.visible_messages(chat_id)) == kept
    assert (await caller.send(chat_id, uuid="u-1")).code == 0
    assert len(fake.visible_messages(chat_id)) == 1


async def test_a_call_may_take_effect_after_it_broke(fake: FakeLark, caller: Caller) -> None:
    """A call that was cut off and sends its message only later leaves one message beside its repetition."""
    chat_id = fake.add_chat()
    fake.fail("message.create", "commit_late", delay_s=0.05)
    with pytest.raises(ClientError):
        await caller.send(chat_id, uuid="u-1")
    assert (await caller.send(chat_id, uuid="u-1")).code == 0
    lines = fake.journal
    await asyncio.to_thread(
        fake.wait_for, lambda: sum((line.direction, line.kind) == ("out", "message.create") for line in lines) == 2
    )
    assert len(fake.visible_messages(chat_id)) == 1


@pytest.mark.parametrize("name", ["slow", "commit_then_slow"])
async def test_a_slow_call_is_done_all_the_same(fake: FakeLark, caller: Caller, name: str) -> None:
    """A caller that gives up on a slow call may find its message sent."""
    chat_id = fake.add_chat()
    fake.fail("message.create", name, delay_s=0.3)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await caller.send(chat_id)
    async with Caller(fake) as other:
        await other.send(chat_id)
    await asyncio.to_thread(fake.wait_for, lambda: len(fake.visible_messages(chat_id)) == 2)


async def test_a_hanging_call_goes_on_when_released(fake: FakeLark, caller: Caller) -> None:
    """A call that hangs is answered once the fault is lifted, and not before."""
    fake.fail("*", "hang")
    call = asyncio.create_task(caller.send(fake.add_chat()))
    await asyncio.to_thread(fake.wait_for, lambda: any(line.kind == "message.create" for line in fake.journal))
    assert not call.done()
    fake.release_hung()
    assert (await call).code == 0


async def test_the_fake_is_controlled_over_http(fake: FakeLark, caller: Caller) -> None:
    """Another process can add people's doings and faults, and look at state, journal and rules broken."""
    event = {"type": "message", "text": "why?", "mention_bot": True}
    made = await caller.request("POST", "/_control/inject", event)
    fault = {"kind": "message.reply", "name": "code", "detail": {"code": 230001}}
    await caller.request("POST", "/_control/fault", fault)
    assert (await caller.reply(made.body["message_id"])).code == 230001
    state = (await caller.request("GET", "/_control/state")).body
    assert state["chats"][made.body["chat_id"]][0]["text"] == "@Fennel why?"
    checked = (await caller.request("GET", "/_control/check")).body
    assert [event["event"]["header"]["event_id"] for event in checked["unacked_events"]] == [made.body["event_id"]]
