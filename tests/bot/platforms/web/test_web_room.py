"""What people say and see in a room."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import redis.asyncio

from bot import rendering
from bot.chat_event import FeedbackGiven, StopPressed
from bot.chat_message import ChatMessage
from bot.forgetting import Forgetting
from bot.inbox import InboxError
from bot.intake import question_of
from bot.platforms.web import chat, posts
from contract import names
from contract.answer import Citation, FinalAnswer, Outcome
from contract.question import Question
from tests.bot.conftest import MakeSettings, everything
from tests.bot.platforms.web.page import GUEST, OPERATOR, WITHIN_S, OpenPage, open_page, quick_hash, say

EVIL = "<script>document.title='evil'</script><img src=x onerror=alert(1)>"


@pytest.fixture
async def page(make_settings: MakeSettings) -> AsyncIterator[OpenPage]:
    """A page with one room."""
    async with open_page(make_settings(web={"port": 0})) as one:
        yield one


def asked(page: OpenPage) -> Question:
    """The question in what was said last."""
    message = page.events[-1]
    assert isinstance(message, ChatMessage)
    return question_of(message, time.time())


def answer(question: Question, text: str, *citations: Citation) -> Any:
    """The end of a question."""
    return rendering.ended(question, FinalAnswer(question.to_wire(), Outcome.ANSWERED, text, citations))


class Stream:
    """The events of a room, as a browser gets them."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.aiter_lines()

    async def next(self) -> tuple[str, str, Any]:
        """The next event: its kind, its id, its data."""
        event: dict[str, str] = {}
        async with asyncio.timeout(WITHIN_S):
            async for line in self._lines:
                name, _, value = line.partition(": ")
                if name:
                    event[name] = value
                elif "data" in event:
                    return event["event"], event["id"], json.loads(event["data"])
                else:
                    event = {}
        raise AssertionError("the stream has ended")


async def test_two_people_see_the_same_room(page: OpenPage) -> None:
    """What one says, and the answer to it as it grows, the other sees at once."""
    async with (
        page.person("Ann") as ann,
        page.person("Bob") as bob,
        bob.stream("GET", "/room/events", params={"room": "general"}) as response,
    ):
        stream = Stream(response)
        assert (await stream.next())[0] == "all"
        await say(ann, "@fennel How many?")
        kind, _, said = await stream.next()
        assert (kind, "How many?" in said["html"], "Ann" in said["html"]) == ("post", True, True)
        sent_id = await page.platform.send(rendering.thinking(asked(page)))
        assert (await stream.next())[2]["root"] == said["id"]
        await page.platform.edit(sent_id, rendering.growing(asked(page), "Thirty"))
        assert "<p>Thirty</p>" in (await stream.next())[2]["html"]
        await page.platform.edit(sent_id, answer(asked(page), "Thirty **days**."))
        end = (await stream.next())[2]
        assert (end["id"], "Thirty <strong>days</strong>." in end["html"]) == (sent_id, True)


async def test_a_stream_goes_on_where_it_was(page: OpenPage) -> None:
    """A page that has seen everything is told nothing twice; one that has missed something gets the whole."""
    async with page.person("Ann") as ann:
        await say(ann, "one")
        async with ann.stream("GET", "/room/events", params={"room": "general"}) as response:
            kind, version, _ = await Stream(response).next()
        assert kind == "all"
        async with ann.stream(
            "GET", "/room/events", params={"room": "general"}, headers={"Last-Event-ID": version}
        ) as response:
            stream = Stream(response)
            await say(ann, "two", "message-2")
            kind, newer, _ = await stream.next()
            assert kind == "post"
        await say(ann, "three", "message-3")
        async with ann.stream("GET", "/room/events", params={"room": "general", "version": newer}) as response:
            kind, _, whole = await Stream(response).next()
            assert (kind, "three" in whole) == ("all", True)


async def test_a_stream_ends_with_its_session(page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has left, was forgotten, or came in by a password that is another now, is told nothing more."""
    monkeypatch.setattr(chat, "QUIET_S", 0.05)
    async with (
        page.person("Ann") as ann,
        page.person("Bob") as bob,
        ann.stream("GET", "/room/events", params={"room": "general"}) as response,
    ):
        stream = Stream(response)
        assert (await stream.next())[0] == "all"
        await say(bob, "while she is there")
        assert (await stream.next())[0] == "post"
        await ann.post("/leave")
        with pytest.raises(AssertionError, match="the stream has ended"):
            await stream.next()


async def test_a_slow_reader_gets_the_newest(page: OpenPage) -> None:
    """What grew while a browser was not reading is one event, not a hundred."""
    rooms = page.platform._rooms
    async with page.person("Ann") as ann:
        await say(ann, "@fennel How many?")
        with rooms.watching("general") as viewer:
            for number in range(100):
                rooms.grow(rendering.growing(asked(page), f"word {number}"))
            (changed,) = await viewer.changed(1.0)
            assert changed.text == "word 99"


async def test_the_same_message_again_is_once(page: OpenPage) -> None:
    """A page that did not hear of its message sends it again: it stands there once, with its first time."""
    async with page.person("Ann") as ann:
        page.refuses = InboxError("Redis is away")
        refused = await say(ann, "@fennel How many?")
        assert (refused.status_code, "please try again" in refused.text) == (503, True)
        page.refuses = None
        first, second = await say(ann, "@fennel How many?"), await say(ann, "@fennel How many?")
        assert first.json() == second.json()
        assert (await ann.get("/")).text.count("How many?") == 1
        messages = [one for one in page.events if isinstance(one, ChatMessage)]
        assert {(one.message_id, one.at_s) for one in messages} == {(first.json()["id"], messages[0].at_s)}


async def test_nobody_writes_over_anothers_message(page: OpenPage) -> None:
    """The same key of another person is another message."""
    async with page.person("Ann") as ann, page.person("Eve") as eve:
        first, second = await say(ann, "mine"), await say(eve, "no, mine")
        assert first.json() != second.json()


async def test_what_was_written_down_is_taken_in_by_the_next_process(
    make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """A bot that dies between the two leaves no question that nobody answers."""
    settings = make_settings(web={"port": 0})
    async with open_page(settings) as page, page.person("Ann") as ann:
        page.refuses = InboxError("killed here")
        await say(ann, "@fennel How many?")
        await redis_client.sadd(names.WEB_UNTAKEN_KEY, "general gone-meanwhile")
    async with open_page(settings) as again:
        async with asyncio.timeout(WITHIN_S):
            while await redis_client.scard(names.WEB_UNTAKEN_KEY):  # noqa: ASYNC110 -- Redis tells nobody
                await asyncio.sleep(0.01)
        (message,) = again.events
        assert isinstance(message, ChatMessage)
        assert message.text == "How many?"


async def test_alone_with_the_bot_nobody_else_reads(page: OpenPage) -> None:
    """What is said there is to the bot without its name, and is in no other person's page."""
    async with page.person("Ann") as ann, page.person("Eve") as eve:
        await say(ann, "How many?", room="direct")
        message = page.events[0]
        assert isinstance(message, ChatMessage)
        assert (message.is_direct, message.channel) == (True, f"direct-{message.sender}")
        assert "How many?" in (await ann.get("/", params={"room": "direct"})).text
        for room in ("direct", "general", message.channel):
            assert "How many?" not in (await eve.get("/", params={"room": room})).text
        assert (await eve.get("/room/events", params={"room": message.channel})).status_code == 404


async def test_only_who_asked_or_an_operator_stops_an_answer(make_settings: MakeSettings) -> None:
    """A stop of anybody else is refused; an answer that has ended cannot be stopped."""
    settings = make_settings(web={"port": 0, "password_hash": quick_hash(GUEST), "operator_hash": quick_hash(OPERATOR)})
    async with (
        open_page(settings) as page,
        page.person("Ann", GUEST) as ann,
        page.person("Eve", GUEST) as eve,
        page.person("Olga", OPERATOR) as olga,
    ):
        await say(ann, "@fennel How many?")
        question = asked(page)
        sent_id = await page.platform.send(rendering.thinking(question))
        stop = {"room": "general", "id": sent_id}
        assert 'data-act="stop"' not in (await eve.get("/")).text
        assert 'data-act="stop"' in (await ann.get("/")).text
        assert (await eve.post("/room/stop", json=stop)).status_code == 403
        for person in (ann, olga):
            assert (await person.post("/room/stop", json=stop)).status_code == 200
            assert page.events[-1] == StopPressed("web", question.id)
        await page.platform.edit(sent_id, answer(question, "Thirty."))
        assert (await ann.post("/room/stop", json=stop)).status_code == 404


async def test_a_verdict_is_the_persons_own(page: OpenPage) -> None:
    """It goes to the bot with who gave it, a changed mind replaces it, and only answers are judged."""
    async with page.person("Ann") as ann, page.person("Bob") as bob:
        said = (await say(ann, "@fennel How many?")).json()["id"]
        question = asked(page)
        sent_id = await page.platform.send(rendering.thinking(question))
        judge = {"room": "general", "id": sent_id, "good": True}
        assert (await bob.post("/room/judge", json=judge)).status_code == 404
        await page.platform.edit(sent_id, answer(question, "Thirty."))
        await asyncio.gather(*(one.post("/room/judge", json=judge) for one in (ann, bob)))
        await bob.post("/room/judge", json=judge | {"good": False})
        assert (await ann.post("/room/judge", json=judge | {"id": said})).status_code == 404
        given = [one for one in page.events if isinstance(one, FeedbackGiven)]
        assert [one.question_id for one in given] == [question.id] * 3
        assert (given[-1].verdict, len({one.by for one in given})) == ("bad", 2)
        kept = await page.platform._rooms.posts.get("general", sent_id)
        assert kept is not None
        assert sorted(kept.verdicts.values()) == ["bad", "good"]


async def test_what_people_and_documents_write_is_text(page: OpenPage) -> None:
    """A script in a name, a question, an answer or a source stays letters, and no link runs or loads anything."""
    async with page.person(EVIL[:40]) as eve:
        await say(eve, f"@fennel {EVIL}")
        text = f"{EVIL} [a](javascript:alert(1)) ![b](https://evil.example/p.png) [c](https://good.example/)"
        source = Citation(EVIL, "javascript:alert(1)", EVIL)
        await page.platform.send(answer(asked(page), text, source, Citation("Good", "https://good.example/doc", "q")))
        html = (await eve.get("/")).text
        assert "<script>document" not in html
        assert "<img src=x" not in html
        assert 'href="javascript' not in html
        assert "evil.example/p.png" not in [part.split('"')[0] for part in html.split('src="')]
        assert '<a href="https://good.example/" target="_blank" rel="noreferrer noopener">c</a>' in html
        assert 'href="https://good.example/doc"' in html


async def test_a_long_room_keeps_its_last_posts(
    page: OpenPage, redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is older is let go of, in the room and in Redis; an answer whose question has gone is still shown."""
    monkeypatch.setattr(posts, "KEPT_POSTS", 3)
    async with page.person("Ann") as ann:
        await say(ann, "@fennel first", "message-0")
        await page.platform.send(answer(asked(page), "Thirty."))
        for number in range(1, 3):
            await say(ann, f"more {number}", f"message-{number}")
        shown = (await ann.get("/")).text
        assert ("first" in shown, "Thirty." in shown, "more 2" in shown) == (False, True, True)
        assert await redis_client.hlen(names.web_posts_key("general")) == 3


async def test_who_is_forgotten_leaves_no_word(page: OpenPage, redis_client: redis.asyncio.Redis) -> None:
    """What they said, what they were answered, their name, their verdicts and their session go; others' words stay."""
    async with page.person("Secretive") as secretive, page.person("Bob") as bob:
        for room in ("general", "direct"):
            await say(secretive, "@fennel secret words", f"message-{room}", room=room)
            await page.platform.send(answer(asked(page), "a secret answer"))
        gone = asked(page).asker
        await say(bob, "@fennel and mine?")
        sent_id = await page.platform.send(answer(asked(page), "for Bob"))
        await secretive.post("/room/judge", json={"room": "general", "id": sent_id, "good": False})
        await Forgetting(redis_client, f"web:local:{gone}").run()
        left = await everything(redis_client)
        assert [word for word in ("secret", "Secretive", gone) if word in left] == []
        assert "for Bob" in (await bob.get("/")).text
        assert (await secretive.get("/")).status_code == 401
