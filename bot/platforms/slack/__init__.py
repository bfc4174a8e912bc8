"""Slack: questions in channels, threads and direct messages, over Socket Mode or HTTP."""

from bot.platforms.slack.platform import SlackPlatform, create

__all__ = ["SlackPlatform", "create"]
