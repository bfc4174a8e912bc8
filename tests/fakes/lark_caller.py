"""A bare caller of the fake Lark: HTTP and a WebSocket without any SDK, so that a test sees each answer as it is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

from aiohttp import ClientSession, ClientWebSocketResponse

from tests.fakes.lark import FakeLark
from tests.fakes.lark.frame import CONTROL, DATA, Frame, decode

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the REST API."""

    status: int
    headers: dict[str, str]
    body: Json

    @property
    def code(self) -> int:
        """The platform's own code; 0 is success."""
        return int(self.body["code"])

    @property
    def data(self) -> Json:
        """What the call gave."""
        return dict(self.body["data"])


class Caller:
    """Calls the fake with a token of its own; use it as an async context manager."""

    def __init__(self, fake: FakeLark) -> None:
        self.fake = fake
        self.token = ""

    async def __aenter__(self) -> Self:
        self.session = ClientSession(trust_env=False)
        await self.fetch_token()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    async def fetch_token(self) -> None:
        """Get a token, as every client does first."""
        body = {"app_id": self.fake.app_id, "app_secret": self.fake.app_secret}
        reply = await self.request("POST", "/open-apis/auth/v3/tenant_access_token/internal", body)
        self.token = reply.body["tenant_access_token"]

    async def request(self, method: str, path: str, body: Json | None = None, **query: str) -> Reply:
        """One call, with the token; raises aiohttp's errors for answers that are not JSON."""
        headers = {"Authorization": f"Bearer {self.token}"}
        async with self.session.request(
            method, self.fake.url + path, json=body, params=query, headers=headers
        ) as response:
            return Reply(response.status, dict(response.headers), json.loads(await response.text()))

    async def send(self, chat_id: str, text: str = "hello", uuid: str = "") -> Reply:
        """Send a text to a chat."""
        body = {"receive_id": chat_id, "msg_type": "text", "content": json.dumps({"text": text}), "uuid": uuid}
        return await self.request("POST", "/open-apis/im/v1/messages", body, receive_id_type="chat_id")

    async def reply(self, message_id: str, text: str = "hello", **more: Any) -> Reply:
        """Answer a message with a text."""
        body = {"msg_type": "text", "content": json.dumps({"text": text}), **more}
        return await self.request("POST", f"/open-apis/im/v1/messages/{message_id}/reply", body)

    async def reply_card(self, message_id: str, card_id: str, uuid: str = "") -> Reply:
        """Answer a message with a card entity."""
        content = json.dumps({"type": "card", "data": {"card_id": card_id}})
        body = {"msg_type": "interactive", "content": content, "uuid": uuid}
        return await self.request("POST", f"/open-apis/im/v1/messages/{message_id}/reply", body)

    async def create_card(self, text: str = "thinking", *, streaming: bool = True) -> str:
        """A card entity with one markdown element, ``md_1``."""
        body = {"type": "card_json", "data": json.dumps(card(text, streaming=streaming))}
        return str((await self.request("POST", "/open-apis/cardkit/v1/cards", body)).data["card_id"])

    async def stream(self, card_id: str, text: str, sequence: int, **more: Any) -> Reply:
        """Show `text` in the card's element."""
        path = f"/open-apis/cardkit/v1/cards/{card_id}/elements/{more.pop('element_id', 'md_1')}/content"
        return await self.request("PUT", path, {"content": text, "sequence": sequence, **more})

    async def settings(self, card_id: str, sequence: int, *, streaming: bool) -> Reply:
        """Open or close the card's streaming mode."""
        body = {"settings": json.dumps({"config": {"streaming_mode": streaming}}), "sequence": sequence}
        return await self.request("PATCH", f"/open-apis/cardkit/v1/cards/{card_id}/settings", body)

    async def discover(self) -> Reply:
        """Ask where the long connection is."""
        body = {"AppID": self.fake.app_id, "AppSecret": self.fake.app_secret}
        return await self.request("POST", "/callback/ws/endpoint", body)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Wire]:
        """A long connection."""
        async with self.session.ws_connect((await self.discover()).data["URL"]) as socket:
            yield Wire(socket)


class Wire:
    """The client's end of a long connection."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket = socket

    async def hear(self) -> Frame:
        """The next frame."""
        return decode(await self.socket.receive_bytes(timeout=10))

    async def answer(self, frame: Frame, code: int = 200) -> None:
        """Respond to an event frame."""
        payload = json.dumps({"code": code}).encode()
        await self.socket.send_bytes(Frame(DATA, {**frame.headers, "biz_rt": "1"}, payload, frame.service).encode())

    async def ping(self) -> Frame:
        """Ping, and the pong that comes back."""
        await self.socket.send_bytes(Frame(CONTROL, {"type": "ping"}, service=33554678).encode())
        return await self.hear()


def card(text: str, *, streaming: bool) -> Json:
    """A card of schema 2.0 with one markdown element."""
    element = {"tag": "markdown", "element_id": "md_1", "content": text}
    return {"schema": "2.0", "config": {"streaming_mode": streaming}, "body": {"elements": [element]}}


async def until(fake: FakeLark, look: Callable[[], Any]) -> Any:
    """Wait for what the fake sees, without blocking the caller's own loop."""
    return await asyncio.to_thread(fake.wait_for, look)
