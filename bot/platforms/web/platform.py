"""The web page as a chat platform."""

from __future__ import annotations

import asyncio
import time
from typing import Literal

import structlog
from redis.asyncio import Redis
from starlette.routing import BaseRoute, Mount, Router
from starlette.staticfiles import StaticFiles

from bot.chat_event import FeedbackGiven, StopPressed
from bot.chat_message import ChatMessage
from bot.inbox import GIVE_UP_AFTER_S
from bot.platform import Platform, PlatformError, Receive, Reply
from bot.platforms.web.chat import Chat
from bot.platforms.web.door import Door
from bot.platforms.web.entry import Entry
from bot.platforms.web.look import STATIC_FOLDER, Look
from bot.platforms.web.passwords import Passwords
from bot.platforms.web.people import People, Person
from bot.platforms.web.posts import PLATFORM, TENANT, Post, Posts, reply_id
from bot.platforms.web.room import Rooms
from bot.platforms.web.server import PageServer
from bot.platforms.web.tabs import Tabs
from bot.redis_link import patient_client
from config.settings import Settings
from contract.errors import FennelError
from contract.question import Question

MEGABYTE = 2**20
UPLOADED_AT_ONCE = 20

log = structlog.get_logger(__name__)


class WebPlatform(Platform):
    """One page with its rooms; `tabs` are the operators' part of it."""

    name = PLATFORM
    account = "page"
    thinks_at_once = True
    # What we show is written down by ourselves: there is nothing to wait for.
    settle_s = 0.0

    def __init__(self, settings: Settings, tabs: Tabs | None = None) -> None:
        self._redis: Redis = patient_client(settings.redis_address)
        posts = Posts(self._redis, settings.retention.history_days)
        self._rooms = Rooms(posts)
        self._tabs = tabs
        self._receive: Receive | None = None
        self._is_closed = False
        look, people = Look(settings.bot.name), People(self._redis, settings.web)
        passwords = Passwords(settings.web, self._redis)
        chat = Chat(
            look,
            self._rooms,
            people,
            settings.web.rooms,
            settings.bot.name,
            said=self._take,
            judged=self._judge,
            stopped=self._stop,
        )
        routes: list[BaseRoute] = [
            Mount("/static", StaticFiles(directory=STATIC_FOLDER)),
            *Entry(look, people, passwords).routes,
            *chat.routes,
            *(tabs.routes(look) if tabs else ()),
        ]
        most_bytes = UPLOADED_AT_ONCE * settings.knowledge.max_file_mb * MEGABYTE
        door = Door(Router(routes, redirect_slashes=False), people, passwords, look, most_bytes)
        self.server = PageServer(settings.web.host, settings.web.port, door)

    # --- from the page

    async def listen(self, receive: Receive) -> None:
        """Serve the page until closed. Raises LinkDeadError where its port is taken."""
        self._receive = receive
        loading = asyncio.create_task(self._tabs.load()) if self._tabs else None
        recovering = asyncio.create_task(self._take_what_was_left())
        try:
            if not self._is_closed:
                await self.server.serve()
        finally:
            recovering.cancel()
            if loading:
                loading.cancel()
            await asyncio.gather(recovering, *([loading] if loading else []), return_exceptions=True)

    async def _take_what_was_left(self) -> None:
        """Take in what an earlier process had written down, and no more: nobody sends that again."""
        for post in await self._rooms.posts.untaken():
            try:
                await self._hand_over(post)
            except FennelError as error:
                log.warning("a message of before is not taken in yet", error=str(error))

    async def _take(self, post: Post) -> None:
        """Write down what somebody says, and hand it over; the same post again is once."""
        async with asyncio.timeout(GIVE_UP_AFTER_S):
            known = await self._rooms.posts.get(post.room, post.id)
            if known is None:
                await self._rooms.say(post)
        await self._hand_over(known or post)

    async def _hand_over(self, post: Post) -> None:
        message = ChatMessage(
            platform=PLATFORM,
            tenant=TENANT,
            channel=post.room,
            thread=post.thread,
            message_id=post.id,
            sender=post.person,
            sender_name=post.name,
            text=post.text,
            at_s=post.at_s,
            mentions_us=post.mentions_us,
            is_direct=post.is_direct,
        )
        await self._received(message)
        await self._rooms.posts.taken(post)

    async def _judge(self, post: Post, person: Person, is_good: bool) -> None:
        verdict: Literal["good", "bad"] = "good" if is_good else "bad"
        await self._received(FeedbackGiven(PLATFORM, post.question_id, person.id, verdict, time.time()))
        judged = await self._rooms.posts.judge(post.room, post.id, person.id, verdict)
        if judged is not None:
            self._rooms.changed(judged)

    async def _stop(self, post: Post) -> None:
        await self._received(StopPressed(PLATFORM, post.question_id))

    async def _received(self, event: ChatMessage | FeedbackGiven | StopPressed) -> None:
        if self._receive is None:
            raise PlatformError("the page is not open yet")
        await self._receive(event)

    # --- to the page

    async def send(self, reply: Reply) -> str:
        """Show the reply, once it is written down."""
        return await self._rooms.show(reply)

    async def edit(self, sent_id: str, reply: Reply) -> None:  # noqa: ARG002 -- the question names the post
        """Show the reply as it is now; its end is written down first."""
        if reply.outcome is None:
            self._rooms.grow(reply)
        else:
            await self._rooms.show(reply)

    async def find(self, question: Question) -> str | None:
        """Look into what is written down."""
        post = await self._rooms.posts.get(question.channel, reply_id(question))
        return post.id if post else None

    async def close(self) -> None:
        """Let all pages go and serve no more."""
        if self._is_closed:
            return
        self._is_closed = True
        self._rooms.close()
        await self.server.close()
        if self._tabs:
            await self._tabs.close()
        await self._redis.aclose()
