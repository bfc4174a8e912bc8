"""Slack's fake as a stage."""

from __future__ import annotations

from typing import Any

from bot.platform import Platform
from config.settings import Settings
from contract.question import question_id
from tests.bot.manners.stage import Said, Stage
from tests.bot.platforms.slack_stage import slack_platform, slack_settings
from tests.fakes.slack import FakeSlack
from tests.fakes.slack.workspace import TEAM


class SlackStage(Stage):
    """Slack's fake."""

    name, tenant = "slack", TEAM

    def __init__(self, fake: FakeSlack) -> None:
        super().__init__()
        self._fake = fake

    def sections(self) -> dict[str, dict[str, Any]]:
        """As `Stage.sections`."""
        return {"slack": slack_settings(self._fake)}

    def platform(self, settings: Settings) -> Platform:
        """As `Stage.platform`."""
        return slack_platform(settings)

    def ready(self) -> bool:
        """As `Stage.ready`."""
        return self._fake.connected() >= 1

    def all_delivered(self) -> bool:
        """As `Stage.all_delivered`."""
        return not self._fake.unacked_events()

    def channel_id(self, name: str) -> str:
        """As `Stage.channel_id`."""
        channel = f"C{name.upper()}"
        if channel not in self._fake.workspace.channels:
            self._fake.workspace.channel(channel)
        return channel

    def person_id(self, name: str) -> str:
        """As `Stage.person_id`."""
        return f"U{name.upper()}"

    def say(self, text: str, person: str, channel: str, thread: Said | None = None, *, mention: bool = True) -> Said:
        """As `Stage.say`."""
        root = {"thread_ts": thread.root} if thread else {}
        kind, where, who = "app_mention" if mention else "message", self.channel_id(channel), self.person_id(person)
        told = self._fake.happen(kind, text=text, channel=where, user=who, **root)
        return Said(where, told["ts"], thread.root if thread else told["ts"], text)

    def tell(self, text: str, person: str) -> Said:
        """As `Stage.tell`."""
        told = self._fake.happen("dm", text=text, user=self.person_id(person))
        return Said(told["channel"], told["ts"], told["ts"], text)

    def ends(self, said: Said) -> list[str]:
        """As `Stage.ends`."""
        asked = question_id(self.name, self.tenant, said.channel, said.message_id)
        return [
            one.shown
            for one in self._fake.answers(said.channel, said.root)
            if one.stream_state != "streaming" and one.metadata and one.metadata["event_payload"]["question"] == asked
        ]

    def all_ends(self, said: Said) -> list[str]:
        """As `Stage.all_ends`."""
        return [one.shown for one in self._fake.answers(said.channel, said.root) if one.stream_state != "streaming"]

    def judge(self, said: Said, person: str, good: bool) -> None:
        """As `Stage.judge`."""
        (answer,) = [one for one in self._fake.answers(said.channel, said.root) if one.buttons]
        who = self.person_id(person)
        self._fake.happen("click", channel=said.channel, ts=answer.ts, user=who, positive=good)

    def called(self, person: str) -> str:
        """As `Stage.called`."""
        return f"<@{self.person_id(person)}>"
