"""A Lark bot made of lark-channel-sdk, the vendor's layer above the long connection and the REST calls."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any

from lark_channel import FeishuChannel  # type: ignore[import-untyped]

from tests.fakes.python_peer import serve

handled: list[dict[str, Any]] = []


def on_loop(work: Any) -> Any:
    """Run a coroutine on the bot's loop."""
    return asyncio.run_coroutine_threadsafe(work, LOOP).result(20)


async def connect() -> None:
    """Connect and answer each message with a streamed card."""

    async def on_message(message: Any) -> None:
        handled.append({"id": message.id, "text": message.content_text, "mentioned_bot": message.mentioned_bot})

        async def produce(stream: Any) -> None:
            await stream.append("echo ")
            await stream.append(message.body_text)

        options = {"reply_to": message.id}
        await CHANNEL.stream(message.conversation.chat_id, {"markdown": produce}, options)

    CHANNEL.on("message", on_message)
    await CHANNEL.start_background(timeout=15)


if __name__ == "__main__":
    LOOP = asyncio.new_event_loop()
    threading.Thread(target=LOOP.run_forever, daemon=True).start()
    CHANNEL = FeishuChannel(
        app_id=os.environ["FENNEL_LARK__APP_ID"],
        app_secret=os.environ["FENNEL_LARK__APP_SECRET"],
        domain=os.environ["FENNEL_LARK__DOMAIN"],
    )
    serve({"connect": lambda: on_loop(connect()), "handled": lambda: handled})
