"""Slack under load."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from benchmarks.bot_platforms.chat_load import ChatLoad
from tests.fakes.slack import FakeSlack


def create() -> SlackLoad:
    """A fresh fake Slack."""
    return SlackLoad()


class SlackLoad(ChatLoad):
    """Socket Mode; the response is the acknowledgement of the envelope. Each question is one event, without its twin.

    Rates are counted and not enforced: a call above one is to be seen, and not to be helped out by a refusal.
    """

    name = "slack"
    goals = MappingProxyType(
        {"response p99 ms at 200/s": 100.0, "resident MiB": 100.0, "ready s": 2.0, "sends above the rates": 0.0}
    )
    baseline = ("benchmarks.bot_platforms.slack_baseline",)

    def __init__(self) -> None:
        self._fake = FakeSlack(enforce_rates=False)
        super().__init__(self._fake)
        self._channels: dict[str, str] = {}

    def environment(self) -> Mapping[str, str]:
        """As `ChatLoad.environment`."""
        return self._fake.urls()

    def is_ready(self) -> bool:
        """As `ChatLoad.is_ready`."""
        return self._fake.connected() > 0

    def ask(self, chat: int, text: str) -> str:
        """As `ChatLoad.ask`."""
        asked = self._fake.happen("app_mention", channel=f"C{chat + 1}", text=text, twin=False)
        self._channels[asked["ts"]] = asked["channel"]
        return str(asked["ts"])

    def response_ms(self) -> Mapping[str, float]:
        """As `ChatLoad.response_ms`."""
        return {
            each.payload["event"]["ts"]: 1000 * (each.attempts[-1].acked_s - each.attempts[0].at_s)
            for each in list(self._fake.deliveries.all)
            if each.state == "acked" and each.attempts[-1].acked_s is not None
        }

    def answers(self, message_id: str) -> list[str]:
        """As `ChatLoad.answers`."""
        return [each.shown for each in self._fake.answers(self._channels[message_id], message_id)]

    def updates(self) -> int:
        """As `ChatLoad.updates`."""
        changes = ("chat.appendStream", "chat.update")
        return sum(line.direction == "in" and line.kind in changes for line in list(self._fake.journal))

    def sends_above_rate(self) -> int:
        """As `ChatLoad.sends_above_rate`."""
        return len(self._fake.sends_above_rate())
