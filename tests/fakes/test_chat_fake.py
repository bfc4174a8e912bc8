"""The made-up chat platform: what the tests of the bot rely on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest

from tests.fakes.chat import FakeChat


@pytest.fixture
def chat() -> Iterator[FakeChat]:
    """The platform, with a quick redelivery."""
    with FakeChat(redeliver_after_s=0.1) as server:
        yield server


@pytest.fixture
async def client(chat: FakeChat) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of it."""
    async with aiohttp.ClientSession(chat.url) as session:
        yield session


async def events(client: aiohttp.ClientSession, wait_s: float = 1.0) -> list[str]:
    """The texts of the events that are due."""
    async with client.get("/events", params={"wait_s": str(wait_s)}) as response:
        return [one["message"]["text"] for one in await response.json()]


async def post(client: aiohttp.ClientSession, **fields: Any) -> Any:
    """Post a reply; gives the answer or raises what aiohttp raises."""
    body = {"channel": "general", "thread": "general", "reply_to": "m1", "text": "hi", "is_end": True} | fields
    async with client.post("/replies", json=body) as response:
        response.raise_for_status()
        return await response.json()


async def test_an_event_comes_again_until_it_is_acknowledged(chat: FakeChat, client: aiohttp.ClientSession) -> None:
    """Unacknowledged it is delivered again, acknowledged it is not."""
    chat.write("one")
    assert await events(client) == ["one"]
    assert await events(client) == ["one"]
    async with client.post("/events/e1/ack") as response:
        assert response.status == 200
    assert await events(client, wait_s=0.2) == []
    assert chat.state()["unacknowledged"] == 0


async def test_a_threads_next_event_waits_for_the_one_before(chat: FakeChat, client: aiohttp.ClientSession) -> None:
    """One thread is delivered in order, another one at the same time."""
    chat.write("a1", thread="a")
    chat.write("a2", thread="a")
    chat.write("b1", thread="b")
    assert sorted(await events(client)) == ["a1", "b1"]
    async with client.post("/events/e1/ack"):
        pass
    assert "a2" in await events(client)


async def test_a_key_shows_a_reply_once(chat: FakeChat, client: aiohttp.ClientSession) -> None:
    """The same key gives the first reply's id; without one each post is a reply."""
    first = await post(client, idempotency_key="k")
    assert await post(client, idempotency_key="k") == first
    assert await post(client) != first
    assert len(chat.replies("m1")) == 2


async def test_a_reply_is_edited_and_read_back(chat: FakeChat, client: aiohttp.ClientSession) -> None:
    """An edit takes the old text's place, and the history shows it."""
    reply = await post(client, is_end=False)
    async with client.put(f"/replies/{reply['id']}", json={"text": "end", "is_end": True}) as response:
        assert response.status == 200
    async with client.get("/replies", params={"reply_to": "m1"}) as response:
        (shown,) = (await response.json())["replies"]
    assert (shown["text"], shown["versions"], shown["ended_at"]) == ("end", ["hi", "end"], 1)


@pytest.mark.parametrize(
    ("fault", "status", "is_shown"),
    [
        ("commit_then_drop", None, True),
        ("drop", None, False),
        ("commit_late", None, True),
        ("rate_limited", 429, False),
        ("refuse", 403, False),
        ("slow", 200, True),
    ],
)
async def test_each_fault_is_what_it_says(
    chat: FakeChat, client: aiohttp.ClientSession, fault: str, status: int | None, is_shown: bool
) -> None:
    """Each fault shows once: to the client as a status or a broken connection, in the chat as a reply or none."""
    chat.fail("post", fault, after_s=1, for_s=0.1)
    if status is None:
        with pytest.raises(aiohttp.ClientError):
            await post(client)
    elif status >= 400:
        with pytest.raises(aiohttp.ClientResponseError) as caught:
            await post(client)
        assert caught.value.status == status
    else:
        await post(client)
    if is_shown:
        chat.wait_for(lambda: chat.replies("m1"))
    assert len(chat.replies("m1")) == is_shown
    await post(client)


async def test_another_process_writes_and_looks(chat: FakeChat, client: aiohttp.ClientSession) -> None:
    """Over the control interface messages are written and the state is read."""
    async with client.post("/_control/inject", json={"text": "hello", "count": 4, "threads": 2}) as response:
        assert len((await response.json())["message_ids"]) == 4
    async with client.get("/_control/state") as response:
        assert (await response.json())["unacknowledged"] == 4
    assert sorted(await events(client)) == ["hello 0", "hello 1"]
