"""What a page of a room asks of us: the room, what changes in it, and what people do there."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import structlog
from markupsafe import Markup
from redis.exceptions import RedisError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from bot.platforms.web import metrics
from bot.platforms.web.look import Look, Reader, threads_of
from bot.platforms.web.people import People, Person
from bot.platforms.web.posts import Post, direct_room, is_judged
from bot.platforms.web.room import Rooms
from contract.errors import FennelError
from contract.question import MAX_QUESTION_CHARACTERS

DIRECT = "direct"
"""What the page calls the room in which its reader is alone with the bot."""
QUIET_S = 20.0
"""A stream says nothing for this long at most, so that a proxy does not take it for dead."""
MOST_CHARACTERS = MAX_QUESTION_CHARACTERS + 100
"""A little more than a question may have: the bot says itself what is too long for it."""
_KEY = re.compile(r"[\w-]{8,64}")

log = structlog.get_logger(__name__)

Said = Callable[[Post], Awaitable[None]]
Judged = Callable[[Post, Person, bool], Awaitable[None]]
Stopped = Callable[[Post], Awaitable[None]]


class Chat:
    """The rooms in a browser. `said`, `judged` and `stopped` hand over to the bot what people do.

    `said` is given a post that is not written down yet.
    """

    def __init__(
        self,
        look: Look,
        rooms: Rooms,
        people: People,
        names: list[str],
        bot: str,
        *,
        said: Said,
        judged: Judged,
        stopped: Stopped,
    ) -> None:
        self._look = look
        self._rooms = rooms
        self._people = people
        self._names = names
        self._mention = re.compile(rf"@{re.escape(bot)}(?!\w)[,:，：]?", re.IGNORECASE)
        self._said = said
        self._judged = judged
        self._stopped = stopped
        self.routes = [
            Route("/", self._page, methods=["GET"]),
            Route("/room/events", self._events, methods=["GET"]),
            Route("/room/say", _safely(self._say), methods=["POST"]),
            Route("/room/judge", _safely(self._judge), methods=["POST"]),
            Route("/room/stop", _safely(self._stop), methods=["POST"]),
        ]

    # --- what is seen

    async def _page(self, request: Request) -> Response:
        reader, asked = _reader(request), request.query_params.get("room", self._names[0])
        room = self._room(asked, _person(request))
        if room is None:
            page = self._look.page("said.html", reader, sentence=reader.words["nothing_here"])
            return HTMLResponse(page, 404)
        version = self._rooms.version
        page = self._look.page(
            "room.html",
            reader,
            tab="room",
            back=f"/?room={asked}",
            room=asked,
            room_name=asked,
            rooms=self._names,
            is_direct=asked == DIRECT,
            page_version=version,
            timeline=Markup(await self._timeline(room, reader)),  # noqa: S704 -- made by our templates
            most_characters=MOST_CHARACTERS,
        )
        return HTMLResponse(page, headers={"Cache-Control": "no-store"})

    async def _timeline(self, room: str, reader: Reader) -> str:
        posts = await self._rooms.all(room)
        shown = {post.id: Markup(await self._shown(post, reader)) for post in posts}  # noqa: S704 -- made by our templates
        return self._look.page("timeline.html", reader, threads=threads_of(posts), shown=shown)

    async def _shown(self, post: Post, reader: Reader) -> str:
        return self._look.post(post, reader, await self._people.names_of(post.mentions))

    async def _events(self, request: Request) -> Response:
        room = self._room(request.query_params.get("room", ""), _person(request))
        if room is None:
            return PlainTextResponse(_reader(request).words["nothing_here"], 404)
        seen = request.headers.get("last-event-id") or request.query_params.get("version", "")
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        stream = self._stream(room, _reader(request), request.state.token, seen)
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)

    async def _stream(self, room: str, reader: Reader, token: str, seen: str) -> AsyncIterator[str]:
        """What changes in the room, in the form of server-sent events; first the whole, unless it was seen.

        It ends when the session does.
        """
        with self._rooms.watching(room) as viewer, metrics.pages_open.track_inprogress():
            yield "retry: 1000\n\n"
            if seen != self._rooms.version:
                version = self._rooms.version
                yield _event("all", version, await self._timeline(room, reader))
            looked_s = time.monotonic()
            while not viewer.is_over:
                changed = await viewer.changed(QUIET_S)
                if time.monotonic() - looked_s >= QUIET_S:
                    looked_s = time.monotonic()
                    if await self._people.who(token) is None:
                        return
                version = self._rooms.version
                for post in changed:
                    html = await self._shown(post, reader)
                    yield _event("post", version, {"id": post.id, "root": post.root, "html": html})
                if not changed:
                    yield ": still here\n\n"

    # --- what is done

    async def _say(self, request: Request) -> Response:
        body, person, reader = await _body(request), _person(request), _reader(request)
        room = self._room(str(body.get("room", "")), person)
        key, text, root = (str(body.get(name, "")) for name in ("key", "text", "root"))
        if room is None or not _KEY.fullmatch(key) or not text.strip():
            return _told(reader, "nothing_here", 400)
        if len(text) > MOST_CHARACTERS:
            return PlainTextResponse(reader.words["too_long"].format(limit=MAX_QUESTION_CHARACTERS), 413)
        if root and not await self._rooms.get(room, root):
            return _told(reader, "nothing_here", 404)
        post = self._post(room, person, text, root, key)
        await self._said(post)
        return _done({"id": post.id})

    def _post(self, room: str, person: Person, text: str, root: str, key: str) -> Post:
        """What somebody said; the same key is the same message, so that the page may send it again."""
        # Nobody may write over what another has said: the id is made of who says it, too.
        post_id = hashlib.sha256(f"{room}\0{person.id}\0{key}".encode()).hexdigest()[:20]
        without, mentions = self._mention.subn("", text)
        is_direct = room == direct_room(person.id)
        thread = root or (post_id if mentions and not is_direct else room)
        return Post(
            id=post_id,
            room=room,
            root=root,
            person=person.id,
            name=person.name,
            text=without.strip(),
            at_s=time.time(),
            thread=thread,
            mentions_us=mentions > 0 or is_direct,
        )

    async def _judge(self, request: Request) -> Response:
        body, person = await _body(request), _person(request)
        post = await self._answer(body, person)
        if post is None or not is_judged(post.outcome):
            return _told(_reader(request), "nothing_here", 404)
        await self._judged(post, person, body.get("good") is True)
        return _done({})

    async def _stop(self, request: Request) -> Response:
        body, person = await _body(request), _person(request)
        post = await self._answer(body, person)
        if post is None or post.outcome:
            return _told(_reader(request), "nothing_here", 404)
        if person.id != post.person and person.role != "operator":
            return _told(_reader(request), "not_yours", 403)
        await self._stopped(post)
        return _done({})

    async def _answer(self, body: dict[str, Any], person: Person) -> Post | None:
        """The reply of ours that the body names, in a room where the person is."""
        room = self._room(str(body.get("room", "")), person)
        post = await self._rooms.get(room, str(body.get("id", ""))) if room else None
        return post if post is not None and post.is_reply else None

    def _room(self, asked: str, person: Person) -> str | None:
        """The room that a page means; None where there is none, or not for this person."""
        if asked == DIRECT:
            return direct_room(person.id)
        return asked if asked in self._names else None


def _safely(act: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """The same, where what goes wrong is told in a sentence: the page keeps the text and sends it again."""

    async def safe(request: Request) -> Response:
        try:
            return await act(request)
        except (ValueError, RecursionError, ClientDisconnect):
            return _told(_reader(request), "nothing_here", 400)
        except (FennelError, RedisError, TimeoutError) as error:
            log.warning("what somebody did could not be taken in", error=str(error))
            return _told(_reader(request), "no_redis", 503)

    return safe


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object of the request; raises ValueError where it is none."""
    body = json.loads(await request.body())
    if not isinstance(body, dict):
        raise ValueError("no JSON object")
    return body


def _event(kind: str, version: str, data: object) -> str:
    return f"event: {kind}\nid: {version}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


def _reader(request: Request) -> Reader:
    reader: Reader = request.state.reader
    return reader


def _person(request: Request) -> Person:
    person = _reader(request).person
    assert person is not None  # noqa: S101 -- the door lets nobody else pass
    return person


def _told(reader: Reader, key: str, status: int) -> Response:
    return PlainTextResponse(reader.words[key], status)


def _done(body: dict[str, Any]) -> Response:
    return Response(json.dumps(body), media_type="application/json")
