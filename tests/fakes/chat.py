"""A made-up chat platform for tests and chaos: what all platforms have in common, with every fault on demand.

Events come by long polling and again until they are acknowledged; a thread's next event comes only after the one
before was acknowledged. Replies are posted, edited and read back over plain HTTP.
``python -m tests.fakes.chat`` serves it alone.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any

from aiohttp import web

from tests.fakes.server import FakeServer, Fault, run_alone

POLL_STEP_S = 0.02
FAULTS = ("commit_then_drop", "drop", "rate_limited", "slow", "commit_late", "refuse", "too_late")
KINDS = ("post", "edit", "find")


@dataclass(slots=True)
class ChatEvent:
    """A message that a person wrote; `due_at_s` is monotonic: when it is delivered (again)."""

    event_id: str
    message: dict[str, Any]
    due_at_s: float = 0.0
    deliveries: int = 0


@dataclass(slots=True)
class Post:
    """A reply that is shown, with all the texts it ever had. `ended_at` counts the ends in the order they came."""

    id: str
    channel: str
    thread: str
    reply_to: str
    text: str
    is_end: bool
    versions: list[str] = field(default_factory=list)
    ended_at: int | None = None


class FakeChat(FakeServer):
    """The platform. `fault_rate` is the share of calls that go wrong by chance, drawn from `seed`.

    `FAULTS` of the kinds ``post``, ``edit`` and ``find``: ``commit_then_drop`` and ``drop`` cut the connection after
    or before the call took effect, ``rate_limited`` (detail ``after_s``) answers 429, ``refuse`` 403, ``too_late``
    410, ``slow`` (detail ``for_s``) takes its time, ``commit_late`` (detail ``for_s``) cuts at once and takes effect
    afterwards.
    """

    def __init__(
        self, *, redeliver_after_s: float = 1.0, fault_rate: float = 0.0, seed: int = 0, port: int = 0
    ) -> None:
        super().__init__(port=port)
        self.redeliver_after_s = redeliver_after_s
        self.fault_rate = fault_rate
        self.threads: dict[tuple[str, str], deque[ChatEvent]] = {}
        self.posts: dict[str, Post] = {}
        self.acknowledged: list[str] = []
        self.late_posts: set[asyncio.Task[None]] = set()
        self._post_of_key: dict[str, str] = {}
        self._random = random.Random(seed)
        self._numbers = itertools.count(1)
        self._ends = itertools.count(1)

    # --- what a person does

    def write(self, text: str, **message: Any) -> str:
        """A person writes in the chat; returns the message's id. May be called from any thread."""
        number = next(self._numbers)
        one: dict[str, Any] = {
            "message_id": f"m{number}",
            "channel": "general",
            "thread": "general",
            "sender": "u-ann",
            "sender_name": "Ann",
            "text": text,
            "at_s": time.time(),
            "mentions_us": True,
            "from_bot": False,
        } | message
        events = self.threads.setdefault((one["channel"], one["thread"]), deque())
        events.append(ChatEvent(f"e{number}", one))
        self.note("out", "written", one)
        return str(one["message_id"])

    def replies(self, message_id: str) -> list[Post]:
        """What is shown in answer to a message."""
        return [post for post in list(self.posts.values()) if post.reply_to == message_id]

    def ended(self, message_id: str) -> Post | None:
        """The reply that ends a question, once it is shown."""
        return next((post for post in self.replies(message_id) if post.is_end), None)

    def wait_ended(self, message_id: str, timeout_s: float = 20) -> Post:
        """Wait for the end of a question; raises TimeoutError."""
        post = self.wait_for(lambda: self.ended(message_id), timeout_s)
        assert post is not None
        return post

    async def inject(self, event: dict[str, Any]) -> Any:
        """Write a message, given as `write` takes it; ``count`` writes as many, spread over ``threads`` threads."""
        event = dict(event)
        count, threads = int(event.pop("count", 1)), int(event.pop("threads", 0))
        text = str(event.pop("text", "How are you?"))
        ids = []
        for number in range(count):
            where = {"thread": f"t{number % threads}"} if threads else {}
            ids.append(self.write(f"{text} {number}" if count > 1 else text, **(event | where)))
        return {"message_ids": ids}

    def state(self) -> dict[str, Any]:
        """All that is shown, and how many events wait for their acknowledgement."""
        return {
            "posts": [asdict(post) for post in self.posts.values()],
            "acknowledged": len(self.acknowledged),
            "unacknowledged": sum(map(len, self.threads.values())),
        }

    def faults_of(self, kind: str) -> tuple[str, ...]:
        """Those of replies that are posted, edited or read back."""
        return FAULTS if kind in KINDS else ()

    # --- the platform's interface

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Events, replies and the history."""
        router.add_get("/events", self._events)
        router.add_post("/events/{event_id}/ack", self._ack)
        router.add_post("/replies", self._post)
        router.add_put("/replies/{reply_id}", self._edit)
        router.add_get("/replies", self._history)

    async def _events(self, request: web.Request) -> web.Response:
        """The first unacknowledged event of each thread that is due; waits up to ``wait_s`` for one."""
        end = time.monotonic() + float(request.query.get("wait_s", "1"))
        while True:
            now = time.monotonic()
            heads = [events[0] for events in self.threads.values() if events]
            due = [event for event in heads if event.due_at_s <= now]
            if due or now >= end:
                break
            await asyncio.sleep(POLL_STEP_S)
        for event in due:
            event.due_at_s = now + self.redeliver_after_s
            event.deliveries += 1
            self.note("out", "event", event.event_id)
        return web.json_response([{"event_id": event.event_id, "message": event.message} for event in due])

    async def _ack(self, request: web.Request) -> web.Response:
        event_id = request.match_info["event_id"]
        for events in self.threads.values():
            if events and events[0].event_id == event_id:
                events.popleft()
                self.acknowledged.append(event_id)
        self.note("in", "ack", event_id)
        return web.json_response({})

    async def _post(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.note("in", "post", body)
        return await self._with_fault(request, "post", lambda: self._commit_post(body))

    def _commit_post(self, body: dict[str, Any]) -> dict[str, Any]:
        key = body.get("idempotency_key")
        if key and key in self._post_of_key:
            return {"id": self._post_of_key[key]}
        post = Post(f"r{next(self._numbers)}", body["channel"], body["thread"], body["reply_to"], "", is_end=False)
        self.posts[post.id] = post
        if key:
            self._post_of_key[key] = post.id
        self._set(post, body)
        return {"id": post.id}

    async def _edit(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.note("in", "edit", body)
        post = self.posts.get(request.match_info["reply_id"])
        if post is None:
            return web.json_response({"error": "no such reply"}, status=410)

        def commit() -> dict[str, Any]:
            self._set(post, body)
            return {"id": post.id}

        return await self._with_fault(request, "edit", commit)

    def _set(self, post: Post, body: dict[str, Any]) -> None:
        post.text, post.is_end = body["text"], body["is_end"]
        post.versions.append(post.text)
        if post.is_end and post.ended_at is None:
            post.ended_at = next(self._ends)
        self.note("out", "shown", asdict(post))

    async def _history(self, request: web.Request) -> web.StreamResponse:
        reply_to = request.query["reply_to"]
        self.note("in", "find", reply_to)
        found = lambda: {"replies": [asdict(post) for post in self.replies(reply_to)]}  # noqa: E731
        return await self._with_fault(request, "find", found)

    # --- faults

    def _drawn_fault(self, kind: str) -> Fault | None:
        fault = self.take_fault(kind)
        if fault is None and self._random.random() < self.fault_rate:
            names = ["commit_then_drop", "drop", "rate_limited", "slow", "commit_late"]
            name = self._random.choice(names if kind == "post" else names[:4])
            fault = Fault(kind, name, 1, {"after_s": 0.1, "for_s": 0.2})
        return fault

    async def _with_fault(self, request: web.Request, kind: str, commit: Any) -> web.StreamResponse:
        fault = self._drawn_fault(kind)
        name = fault.name if fault else ""
        detail = fault.detail if fault else {}
        if name == "rate_limited":
            after_s = str(detail.get("after_s", 0.1))
            return web.json_response({"error": "slow down"}, status=429, headers={"Retry-After": after_s})
        if name in ("refuse", "too_late"):
            return web.json_response({"error": "not allowed"}, status=403 if name == "refuse" else 410)
        if name == "drop":
            return _cut(request)
        if name == "commit_late":
            self._commit_later(commit, float(detail.get("for_s", 0.2)))
            return _cut(request)
        if name == "slow":
            await asyncio.sleep(float(detail.get("for_s", 0.2)))
        body = commit()
        return _cut(request) if name == "commit_then_drop" else web.json_response(body)

    def _commit_later(self, commit: Any, for_s: float) -> None:
        async def later() -> None:
            await asyncio.sleep(for_s)
            commit()

        task = asyncio.create_task(later())
        self.late_posts.add(task)
        task.add_done_callback(self.late_posts.discard)


def _cut(request: web.Request) -> web.StreamResponse:
    """Break the connection, so that the client does not learn what became of its call."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def main() -> None:
    """Read the command line and serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.chat", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 lets the system choose")
    parser.add_argument("--redeliver-after-s", type=float, default=1.0, help="when an event comes again")
    parser.add_argument("--fault-rate", type=float, default=0.0, help="share of calls that go wrong")
    parser.add_argument("--seed", type=int, default=0, help="which calls go wrong")
    options = parser.parse_args()
    run_alone(
        FakeChat(
            redeliver_after_s=options.redeliver_after_s,
            fault_rate=options.fault_rate,
            seed=options.seed,
            port=options.port,
        )
    )


if __name__ == "__main__":
    main()
