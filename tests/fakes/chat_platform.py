"""Fennel's side of the made-up chat platform: a Platform like the others, over plain HTTP."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import aiohttp

from bot.chat_message import ChatMessage
from bot.lock import LEASE_S, MARGIN
from bot.platform import (
    Platform,
    Receive,
    Reply,
    SendAmbiguousError,
    SendLaterError,
    SendRefusedError,
    TooLateToEditError,
)
from bot.sending_session import sending_session
from contract.errors import FennelError
from contract.question import Question

Resolve = Literal["history", "key"]


class ChatPlatform(Platform):
    """Polls for events and posts replies.

    `resolve` says how a send that broke is resolved: by reading the history back, or by an idempotency key.
    """

    name = "chat"

    def __init__(
        self,
        url: str,
        *,
        account: str = "test",
        resolve: Resolve = "history",
        settle_s: float = 0.5,
        timeout_s: float = 2.0,
        give_up_s: float = LEASE_S * MARGIN,
        thinks_at_once: bool = False,
    ) -> None:
        self.account = account
        self.settle_s = settle_s
        self.thinks_at_once = thinks_at_once
        self.same_send_is_once_for_s = 3600.0 if resolve == "key" else 0.0
        self._url = url
        self._resolve = resolve
        self._give_up_s = give_up_s
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None
        self._closed = asyncio.Event()
        self._listens = False

    async def listen(self, receive: Receive) -> None:
        """Poll until closed; each thread's event is handed over on its own."""
        self._listens = True
        try:
            await self._poll(receive)
        finally:
            await self._disconnect()

    async def _poll(self, receive: Receive) -> None:
        while not self._closed.is_set():
            try:
                events = await self._call("GET", "/events", params={"wait_s": "0.5"})
            except (SendAmbiguousError, SendLaterError):
                await asyncio.sleep(0.05)
                continue
            await asyncio.gather(*(self._take(event, receive) for event in events))

    async def _take(self, event: dict[str, Any], receive: Receive) -> None:
        try:
            await receive(ChatMessage(platform=self.name, tenant="team", **event["message"]))
            await self._call("POST", f"/events/{event['event_id']}/ack")
        except FennelError:
            # Not safe, or the acknowledgement was lost: the platform delivers it again.
            return

    async def send(self, reply: Reply) -> str:
        """Post a new reply."""
        question = reply.question
        body = self._body(reply) | {
            "channel": question.channel,
            "thread": question.thread,
            "reply_to": question.message_id,
        }
        if self._resolve == "key":
            body["idempotency_key"] = question.id
        posted = await self._call("POST", "/replies", json=body)
        return str(posted["id"])

    async def edit(self, sent_id: str, reply: Reply) -> None:
        """Put the reply's newest text in place."""
        await self._call("PUT", f"/replies/{sent_id}", json=self._body(reply))

    async def find(self, question: Question) -> str | None:
        """Read the history back."""
        history = await self._call("GET", "/replies", params={"reply_to": question.message_id})
        replies = history["replies"]
        return str(replies[-1]["id"]) if replies else None

    async def close(self) -> None:
        """Stop polling; the connections are closed with it."""
        self._closed.set()
        if not self._listens:
            await self._disconnect()

    async def _disconnect(self) -> None:
        if self._session:
            await self._session.close()
            self._session = None

    @staticmethod
    def _body(reply: Reply) -> dict[str, Any]:
        return {"text": reply.whole, "is_end": reply.outcome is not None}

    async def _call(self, method: str, path: str, **options: Any) -> Any:
        self._session = self._session or sending_session(self._timeout, round(1000 * self._give_up_s))
        try:
            async with self._session.request(method, self._url + path, **options) as response:
                if response.status == 429:
                    raise SendLaterError("slow down", float(response.headers["Retry-After"]))
                if response.status == 410:
                    raise TooLateToEditError("too late to edit")
                if response.status >= 400:
                    raise SendRefusedError(f"refused with {response.status}")
                return await response.json()
        except aiohttp.ClientConnectorError as error:
            raise SendLaterError(f"the platform is away: {error}", 0.2) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise SendAmbiguousError(f"the connection broke: {error or 'no answer'}") from error
