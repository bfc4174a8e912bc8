"""Slack's Bolt as its own examples use it: acknowledges every mention, and does nothing with it."""

from __future__ import annotations

import asyncio

from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from config.loading import load_settings


async def serve() -> None:
    """Serve until killed."""
    slack = load_settings().slack
    app = AsyncApp(client=AsyncWebClient(token=slack.bot_token.get_secret_value(), base_url=slack.api_url))

    @app.event("app_mention")
    async def take() -> None:
        """Nothing to do."""

    await AsyncSocketModeHandler(app, slack.app_token.get_secret_value()).start_async()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    asyncio.run(serve())
