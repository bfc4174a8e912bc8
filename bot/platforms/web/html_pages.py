"""Changes whole HTML pages on their way out; everything else passes as it comes."""

from __future__ import annotations

from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Send


class HtmlPages:
    """Sends what it is given to `send`, each page of HTML as `change` makes it."""

    def __init__(self, send: Send, change: Callable[[bytes], bytes]) -> None:
        self._send = send
        self._change = change
        self._held: Message | None = None
        self._page = b""

    async def send(self, message: Message) -> None:
        """Send it on, or hold it until its page is whole."""
        if message["type"] == "http.response.start":
            if MutableHeaders(raw=message["headers"]).get("content-type", "").startswith("text/html"):
                # Its length changes.
                self._held = message
                return
            await self._send(message)
        elif self._held is not None and message["type"] == "http.response.body":
            self._page += message.get("body", b"")
            if not message.get("more_body", False):
                await self._send_page(self._held)
        else:
            await self._send(message)

    async def _send_page(self, start: Message) -> None:
        page = self._change(self._page)
        MutableHeaders(raw=start["headers"])["content-length"] = str(len(page))
        await self._send(start)
        await self._send({"type": "http.response.body", "body": page})
