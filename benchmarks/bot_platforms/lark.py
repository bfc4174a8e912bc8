"""Lark under load."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from benchmarks.bot_platforms.chat_load import ChatLoad
from tests.fakes.lark import FakeLark


def create() -> LarkLoad:
    """A fresh fake Lark."""
    return LarkLoad()


class LarkLoad(ChatLoad):
    """The long connection; the response is the frame with code 200."""

    name = "lark"
    goals = MappingProxyType(
        {"response p99 ms at 200/s": 150.0, "resident MiB": 200.0, "ready s": 5.0, "sends above the rates": 0.0}
    )
    baseline = ("benchmarks.bot_platforms.lark_baseline",)

    def __init__(self) -> None:
        self._fake = FakeLark()
        super().__init__(self._fake)
        self._chats: dict[int, str] = {}

    def environment(self) -> Mapping[str, str]:
        """As `ChatLoad.environment`."""
        return self._fake.urls()

    def is_ready(self) -> bool:
        """As `ChatLoad.is_ready`."""
        return bool(self._fake.link.connections)

    def ask(self, chat: int, text: str) -> str:
        """As `ChatLoad.ask`."""
        if chat not in self._chats:
            self._chats[chat] = self._fake.add_chat()
        return self._fake.say(text, mention_bot=True, chat_id=self._chats[chat])

    def response_ms(self) -> Mapping[str, float]:
        """As `ChatLoad.response_ms`."""
        return {
            each.event["event"]["message"]["message_id"]: 1000 * (each.acknowledged_at_s - each.pushed_at_s[0])
            for each in list(self._fake.deliveries.all)
            if each.acknowledged_at_s is not None
        }

    def answers(self, message_id: str) -> list[str]:
        """As `ChatLoad.answers`."""
        return [each.text for each in self._fake.answers_to(message_id)]

    def updates(self) -> int:
        """As `ChatLoad.updates`."""
        return sum(len(card.history) for card in list(self._fake.cards.cards.values()))

    def sends_above_rate(self) -> int:
        """As `ChatLoad.sends_above_rate`."""
        return len(self._fake.sends_above_rate())
