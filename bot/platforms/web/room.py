"""The rooms as they are just now: what is kept of them, what is growing, and who is looking."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from bot.platform import Reply
from bot.platforms.web.posts import Post, Posts


class Viewer:
    """Somebody's open page: the posts that have changed since they were shown last, each in its newest form."""

    def __init__(self, room: str) -> None:
        self.room = room
        self._changed: dict[str, Post] = {}
        self._woken = asyncio.Event()
        self.is_over = False

    def tell(self, post: Post) -> None:
        """The post looks like this now."""
        self._changed[post.id] = post
        self._woken.set()

    def end(self) -> None:
        """There is nothing more to come."""
        self.is_over = True
        self._woken.set()

    async def changed(self, wait_s: float) -> list[Post]:
        """What has changed, once something has; nothing where nothing does within `wait_s`."""
        try:
            async with asyncio.timeout(wait_s):
                await self._woken.wait()
        except TimeoutError:
            return []
        self._woken.clear()
        changed, self._changed = list(self._changed.values()), {}
        return changed


class Rooms:
    """All rooms of one process. Growing replies are kept in memory alone; their beginning and end are written down."""

    def __init__(self, posts: Posts) -> None:
        self.posts = posts
        self._growing: dict[str, Post] = {}
        self._viewers: set[Viewer] = set()
        self._changes = 0
        self._life = secrets.token_hex(4)
        self._is_closed = False

    @property
    def version(self) -> str:
        """Changes with every change, and is never the same in two processes."""
        return f"{self._life}-{self._changes}"

    async def all(self, room: str) -> list[Post]:
        """The room's posts as they look now, the oldest first."""
        kept = await self.posts.all(room)
        return [self._growing.get(post.id, post) for post in kept]

    async def get(self, room: str, post_id: str) -> Post | None:
        """One post as it looks now."""
        return self._growing.get(post_id) or await self.posts.get(room, post_id)

    async def say(self, post: Post) -> None:
        """A person says something; returns when it is written down."""
        await self.posts.said(post)
        self._tell(post)

    async def show(self, reply: Reply) -> str:
        """Show a reply of ours for good; gives its id."""
        post = Post.of_reply(reply, time.time())
        await self.posts.put(post)
        self._growing.pop(post.id, None)
        self._tell(await self.posts.get(post.room, post.id) or post)
        return post.id

    def grow(self, reply: Reply) -> None:
        """Show how far a reply is; a crash may lose it."""
        post = Post.of_reply(reply, time.time())
        before = self._growing.get(post.id)
        self._growing[post.id] = post = replace(post, at_s=before.at_s) if before else post
        self._tell(post)

    def changed(self, post: Post) -> None:
        """A post was written anew: people have judged it."""
        self._tell(post)

    @contextmanager
    def watching(self, room: str) -> Iterator[Viewer]:
        """A page that is open while the block runs."""
        viewer = Viewer(room)
        if self._is_closed:
            viewer.end()
        self._viewers.add(viewer)
        try:
            yield viewer
        finally:
            self._viewers.discard(viewer)

    def close(self) -> None:
        """Let all pages go; they come back to the next process by themselves."""
        self._is_closed = True
        for viewer in self._viewers:
            viewer.end()

    def _tell(self, post: Post) -> None:
        self._changes += 1
        for viewer in self._viewers:
            if viewer.room == post.room:
                viewer.tell(post)
