"""A Python client of others as its own examples use it: answers every message with a stream, and does nothing else."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any
from uuid import uuid4

from config.loading import load_settings


async def serve() -> None:
    """Serve until killed."""
    sdk: Any = importlib.import_module("wecom_aibot_sdk")  # it has no types
    wecom = load_settings().wecom
    options = sdk.WSClientOptions(bot_id=wecom.bot_id, secret=wecom.secret.get_secret_value(), ws_url=wecom.ws_url)
    client = sdk.WSClient(options)

    async def answer(frame: Any) -> None:
        await client.reply_stream(frame, f"stream-{uuid4().hex}", "Thinking…", False)

    client.on("message.text", answer)
    await client.connect_async()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve())
