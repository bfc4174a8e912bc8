"""The fake Slack: Web API, Socket Mode and Events API as Slack's own clients know them."""

from tests.fakes.slack.fake import FakeSlack
from tests.fakes.slack.rules import Rules

__all__ = ["FakeSlack", "Rules"]
