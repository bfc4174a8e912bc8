"""WeCom under load, over the long connection."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from benchmarks.bot_platforms.chat_load import ChatLoad
from tests.fakes.wecom import FakeWeCom, OpenPoints


def create() -> WeComLoad:
    """A fresh fake WeCom."""
    return WeComLoad()


class WeComLoad(ChatLoad):
    """The response is the first frame of the stream that answers: the long connection has no acknowledgement.

    Refreshes count towards the rate, which is the stricter reading of what WeCom leaves open.
    """

    name = "wecom"
    goals = MappingProxyType(
        {"response p99 ms at 200/s": 1000.0, "resident MiB": 100.0, "ready s": 2.0, "sends above the rates": 0.0}
    )
    baseline = ("benchmarks.bot_platforms.wecom_baseline",)
    streaming_chats = 100

    def __init__(self) -> None:
        self._fake = FakeWeCom(points=OpenPoints(refreshes_count=True))
        super().__init__(self._fake)

    def environment(self) -> Mapping[str, str]:
        """As `ChatLoad.environment`."""
        return {name: value for name, value in self._fake.urls().items() if name.startswith("FENNEL_WECOM__")}

    def is_ready(self) -> bool:
        """As `ChatLoad.is_ready`."""
        return self._fake.long_link.live is not None

    def ask(self, chat: int, text: str) -> str:
        """As `ChatLoad.ask`."""
        return str(self._fake.say(text, chatid=f"wr_team_{chat}")["msgid"])

    def response_ms(self) -> Mapping[str, float]:
        """As `ChatLoad.response_ms`."""
        told: dict[str, tuple[str, float]] = {}
        found: dict[str, float] = {}
        for line in list(self._fake.journal):
            if line.kind == "aibot_msg_callback":
                told[line.payload["headers"]["req_id"]] = (line.payload["body"]["msgid"], line.at_s)
            elif line.kind == "aibot_respond_msg" and line.direction == "in":
                message_id, told_at_s = told[line.payload["headers"]["req_id"]]
                found.setdefault(message_id, 1000 * (line.at_s - told_at_s))
        return found

    def answers(self, message_id: str) -> list[str]:
        """As `ChatLoad.answers`."""
        return [shown.content for shown in self._fake.replies_to(message_id)]

    def updates(self) -> int:
        """As `ChatLoad.updates`."""
        return sum(len(shown.history) for shown in self._fake.board.by_bot())

    def sends_above_rate(self) -> int:
        """As `ChatLoad.sends_above_rate`."""
        return len(self._fake.sends_above_rate())
