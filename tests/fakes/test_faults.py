"""What can go wrong on a fake is known by name."""

from __future__ import annotations

import pytest

from tests.fakes.chat import FakeChat
from tests.fakes.lark import FakeLark
from tests.fakes.server import FakeServer
from tests.fakes.slack import FakeSlack
from tests.fakes.wecom import FakeWeCom


@pytest.mark.parametrize(
    ("fake", "kind", "name"),
    [
        (FakeChat, "post", "dropp"),
        (FakeChat, "reply", "drop"),
        (FakeSlack, "chat.postMessage", "sloow"),
        (FakeSlack, "chat.post", "drop"),
        (FakeSlack, "event", "drop"),
        (FakeSlack, "link", "slow"),
        (FakeLark, "message.reply", "ratelimited"),
        (FakeLark, "message.answer", "drop"),
        (FakeLark, "event.again", "out_of_order"),
        (FakeWeCom, "aibot_send_msg", "duplicate"),
        (FakeWeCom, "aibot_send", "drop"),
    ],
)
def test_a_fault_that_a_fake_does_not_have_is_refused(fake: type[FakeServer], kind: str, name: str) -> None:
    """It is an error of the test and not silence, in which nothing goes wrong and the test passes."""
    with fake() as server, pytest.raises(ValueError, match="has no fault"):
        server.fail(kind, name)
