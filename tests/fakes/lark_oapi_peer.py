"""A Lark bot made of Lark's own client for Python, lark-oapi: long connection, REST calls and webhook handler."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import lark_oapi
import lark_oapi.ws.client
from lark_oapi.api.cardkit.v1 import (
    ContentCardElementRequest,
    ContentCardElementRequestBody,
    CreateCardRequest,
    CreateCardRequestBody,
    SettingsCardRequest,
    SettingsCardRequestBody,
)
from lark_oapi.api.im.v1 import ListMessageRequest, ReplyMessageRequest, ReplyMessageRequestBody
from lark_oapi.core.model import RawRequest
from lark_oapi.event.callback.model.p2_card_action_trigger import P2CardActionTriggerResponse

from tests.fakes.python_peer import serve

ENV = {name: os.environ[f"FENNEL_LARK__{name}"] for name in ("DOMAIN", "APP_ID", "APP_SECRET")}
handled: list[dict[str, Any]] = []


def client() -> Any:
    """A REST client."""
    builder = lark_oapi.Client.builder().app_id(ENV["APP_ID"]).app_secret(ENV["APP_SECRET"])
    return builder.domain(ENV["DOMAIN"]).timeout(5).build()


def told(response: Any) -> dict[str, Any]:
    """A response as JSON."""
    return {
        "ok": response.success(),
        "code": response.code,
        "status": response.raw.status_code,
        "data": json.loads(response.raw.content).get("data"),
    }


def reply(message_id: str, msg_type: str, content: dict[str, Any], uuid: str) -> dict[str, Any]:
    """Answer a message."""
    body = ReplyMessageRequestBody.builder().msg_type(msg_type).content(json.dumps(content)).uuid(uuid).build()
    request = ReplyMessageRequest.builder().message_id(message_id).request_body(body).build()
    return told(REST.im.v1.message.reply(request))


def listing(kind: str, container: str) -> dict[str, Any]:
    """The messages of a chat or a thread."""
    request = ListMessageRequest.builder().container_id_type(kind).container_id(container).page_size(50).build()
    return told(REST.im.v1.message.list(request))


def create_card(card: dict[str, Any]) -> dict[str, Any]:
    """A card entity."""
    body = CreateCardRequestBody.builder().type("card_json").data(json.dumps(card)).build()
    return told(REST.cardkit.v1.card.create(CreateCardRequest.builder().request_body(body).build()))


def stream(card_id: str, element_id: str, text: str, sequence: int) -> dict[str, Any]:
    """The whole text so far."""
    body = ContentCardElementRequestBody.builder().content(text).sequence(sequence).build()
    request = ContentCardElementRequest.builder().card_id(card_id).element_id(element_id).request_body(body).build()
    return told(REST.cardkit.v1.card_element.content(request))


def settings(card_id: str, config: dict[str, Any], sequence: int) -> dict[str, Any]:
    """The card's config."""
    body = SettingsCardRequestBody.builder().settings(json.dumps({"config": config})).sequence(sequence).build()
    return told(
        REST.cardkit.v1.card.settings(SettingsCardRequest.builder().card_id(card_id).request_body(body).build())
    )


def on_message(data: Any) -> None:
    """Keep the message; refuse it the first time when its text asks for that; else answer it."""
    text = json.loads(data.event.message.content)["text"]
    again = any(event.get("event_id") == data.header.event_id for event in handled)
    handled.append({"event_id": data.header.event_id, "text": text})
    if "refuse" in text and not again:
        raise RuntimeError("refused, as the text asks")
    reply(data.event.message.message_id, "text", {"text": f"echo {text}"}, data.header.event_id)


def on_card_action(data: Any) -> Any:
    """Answer a button with a toast."""
    return P2CardActionTriggerResponse({"toast": {"type": "info", "content": data.event.action.value["feedback"]}})


def dispatcher() -> Any:
    """The handlers, for webhook and long connection."""
    keys = os.environ["FENNEL_LARK__ENCRYPT_KEY"], os.environ["FENNEL_LARK__VERIFICATION_TOKEN"]
    builder = lark_oapi.EventDispatcherHandler.builder(*keys, lark_oapi.LogLevel.CRITICAL)
    builder.register_p2_im_message_receive_v1(on_message)
    builder.register_p2_card_action_trigger(on_card_action)
    builder.register_p2_im_message_recalled_v1(lambda data: handled.append({"recalled": data.event.message_id}))
    return builder.build()


def ws_client() -> Any:
    """A client of the long connection."""
    quiet = lark_oapi.LogLevel.CRITICAL
    return lark_oapi.ws.Client(ENV["APP_ID"], ENV["APP_SECRET"], quiet, dispatcher(), ENV["DOMAIN"])


def connect() -> None:
    """Start the long connection in a thread and a loop of its own: the SDK keeps both for good."""

    def run() -> None:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        lark_oapi.ws.client.loop = loop
        LINKS.append(ws_client())
        LINKS[-1].start()

    threading.Thread(target=run, daemon=True).start()


def discover() -> str:
    """What the client makes of discovery: the name of the error that it raises, or nothing."""
    try:
        LINKS[-1]._get_conn_url()
    except Exception as error:
        return type(error).__name__
    return ""


def shake_hands() -> str:
    """What the client makes of the handshake: the name of the error that it raises, or nothing."""

    async def once() -> str:
        other = ws_client()
        try:
            await other._connect()
        except Exception as error:
            return type(error).__name__
        return ""

    return asyncio.run_coroutine_threadsafe(once(), lark_oapi.ws.client.loop).result(10)


class WebhookHandler(BaseHTTPRequestHandler):
    """Hands requests to the SDK as they are."""

    def do_POST(self) -> None:
        """Answer as the SDK says."""
        request = RawRequest()
        request.uri, request.headers = self.path, dict(self.headers)
        request.body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = dispatcher().do(request)
        self.send_response(answer.status_code)
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def serve_webhook() -> str:
    """Listen; gives the address."""
    server = HTTPServer(("127.0.0.1", 0), WebhookHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/"


if __name__ == "__main__":
    LINKS: list[Any] = []
    REST = client()
    serve(
        {
            "connect": connect,
            "create_card": create_card,
            "discover": discover,
            "handled": lambda: handled,
            "listing": listing,
            "ping_interval": lambda: LINKS[-1]._ping_interval,
            "reply": reply,
            "serve_webhook": serve_webhook,
            "settings": settings,
            "shake_hands": shake_hands,
            "stream": stream,
        }
    )
