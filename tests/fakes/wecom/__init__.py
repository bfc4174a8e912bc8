"""A fake WeCom (企业微信): an AI bot's long connection and callback mode, and iLink for direct messages of WeChat."""

from tests.fakes.wecom.board import ShownMessage, Violation
from tests.fakes.wecom.rules import OpenPoints
from tests.fakes.wecom.server import FakeWeCom
from tests.fakes.wecom.world import Account

__all__ = ["Account", "FakeWeCom", "OpenPoints", "ShownMessage", "Violation"]
