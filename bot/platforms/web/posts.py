"""What was said in the rooms of the web page, in Redis, so that a restarted bot shows what it has shown."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, Self

from redis.asyncio import Redis

from bot.platform import Reply
from contract import names
from contract.answer import Citation, Outcome
from contract.question import Question

PLATFORM, TENANT = "web", "local"
DIRECT = "direct-"
KEPT_POSTS = 500
SECONDS_A_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Post:
    """A message in a room, or a reply of ours.

    `root` is the post whose thread it stands in, empty where it begins one. `person` is who wrote it, or whom a reply
    answers. `outcome` is empty while a reply grows. `verdicts` are people's opinions of a reply, by person.
    `thread` is what the bot takes for the conversation.
    """

    id: str
    room: str
    root: str
    person: str
    name: str
    text: str
    at_s: float
    thread: str = ""
    question_id: str = ""
    outcome: str = ""
    is_notice: bool = False
    mentions_us: bool = False
    mentions: tuple[str, ...] = ()
    citations: tuple[Citation, ...] = ()
    verdicts: dict[str, Literal["good", "bad"]] = field(default_factory=dict)

    @property
    def is_reply(self) -> bool:
        """Whether we said it."""
        return bool(self.question_id)

    @property
    def is_direct(self) -> bool:
        """Whether it was said to us alone."""
        return self.room.startswith(DIRECT)

    @classmethod
    def of_reply(cls, reply: Reply, at_s: float) -> Self:
        """The one post that answers the reply's question."""
        question = reply.question
        return cls(
            id=reply_id(question),
            room=question.channel,
            root=question.message_id if question.thread == question.channel else question.thread,
            person=question.asker,
            name=question.asker_name,
            text=reply.text,
            at_s=at_s,
            thread=question.thread,
            question_id=question.id,
            outcome=reply.outcome.value if reply.outcome else "",
            is_notice=reply.is_notice,
            mentions=reply.mentions,
            citations=reply.citations,
        )

    def to_json(self) -> str:
        """The post as it stands in Redis."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, value: str) -> Self:
        """Read it; what a newer program has added is passed over."""
        known = {one.name for one in fields(cls)}
        values: dict[str, Any] = {name: part for name, part in json.loads(value).items() if name in known}
        values["citations"] = tuple(Citation(**one) for one in values.get("citations", ()))
        values["mentions"] = tuple(values.get("mentions", ()))
        return cls(**values)


def reply_id(question: Question) -> str:
    """The id of the post that answers the question."""
    return f"r-{question.id}"


def direct_room(person: str) -> str:
    """The room in which a person is alone with the bot."""
    return f"{DIRECT}{person}"


class Posts:
    """Keeps the last posts of each room, for `keep_days` (at least one). `redis` waits for Redis."""

    def __init__(self, redis: Redis, keep_days: float) -> None:
        self._redis = redis
        self._keep_s = max(keep_days, 1.0) * SECONDS_A_DAY
        # A reply's end and people's verdicts on it are written by turns, or one would undo the other.
        self._writing = asyncio.Lock()

    async def said(self, post: Post) -> None:
        """Write down what a person said, and that it has yet to be taken in."""
        async with self._redis.pipeline(transaction=True) as step:
            step.sadd(names.WEB_UNTAKEN_KEY, f"{post.room} {post.id}")
            step.hset(names.web_posts_key(post.room), post.id, post.to_json())
            step.zadd(names.web_order_key(post.room), {post.id: post.at_s})
            await step.execute()
        await self._trim(post.room)

    async def taken(self, post: Post) -> None:
        """It is safe with the bot."""
        await self._redis.srem(names.WEB_UNTAKEN_KEY, f"{post.room} {post.id}")

    async def untaken(self) -> list[Post]:
        """What an earlier process wrote down and may not have taken in, the oldest first."""
        members: Any = await self._redis.smembers(names.WEB_UNTAKEN_KEY)
        found = []
        for member in members:
            room, _, post_id = str(member).partition(" ")
            post = await self.get(room, post_id)
            if post is None:
                await self._redis.srem(names.WEB_UNTAKEN_KEY, member)
            else:
                found.append(post)
        return sorted(found, key=lambda one: one.at_s)

    async def put(self, post: Post) -> None:
        """Write a reply of ours down, or write it anew; what people think of it stays."""
        async with self._writing:
            before = await self.get(post.room, post.id)
            if before is not None:
                post = replace(post, at_s=before.at_s, verdicts=before.verdicts)
            async with self._redis.pipeline(transaction=True) as step:
                step.hset(names.web_posts_key(post.room), post.id, post.to_json())
                step.zadd(names.web_order_key(post.room), {post.id: post.at_s})
                await step.execute()

    async def judge(self, room: str, post_id: str, person: str, verdict: Literal["good", "bad"]) -> Post | None:
        """Keep what the person thinks of the reply; the post as it is then, None where there is none."""
        async with self._writing:
            post = await self.get(room, post_id)
            if post is None:
                return None
            judged = replace(post, verdicts={**post.verdicts, person: verdict})
            await self._redis.hset(names.web_posts_key(room), post_id, judged.to_json())
            return judged

    async def get(self, room: str, post_id: str) -> Post | None:
        """The post of this id in the room."""
        value: Any = await self._redis.hget(names.web_posts_key(room), post_id)
        return Post.from_json(value) if value else None

    async def all(self, room: str) -> list[Post]:
        """The room's posts, the oldest first."""
        values: Any = await self._redis.hvals(names.web_posts_key(room))
        return sorted(map(Post.from_json, values), key=lambda one: (one.at_s, one.is_reply))

    async def _trim(self, room: str) -> None:
        """Let go of what is too old, or too much."""
        order, posts = names.web_order_key(room), names.web_posts_key(room)
        old = {
            *await self._redis.zrangebyscore(order, "-inf", time.time() - self._keep_s),
            *await self._redis.zrange(order, 0, -KEPT_POSTS - 1),
        }
        if old:
            async with self._redis.pipeline(transaction=True) as step:
                step.hdel(posts, *old)
                step.zrem(order, *old)
                await step.execute()


def is_judged(outcome: str) -> bool:
    """Whether people are asked what they think of a reply that ended so."""
    return outcome in (Outcome.ANSWERED, Outcome.NOT_FOUND)
