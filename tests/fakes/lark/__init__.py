"""A fake Lark (Feishu): the long connection, webhooks and the REST calls that a chat bot needs."""

from tests.fakes.lark.fake import APP_ID, FakeLark
from tests.fakes.lark.rules import Codes, Rules

__all__ = ["APP_ID", "Codes", "FakeLark", "Rules"]
