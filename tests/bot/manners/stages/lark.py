"""Lark's fake as a stage."""

from __future__ import annotations

from typing import Any

from bot.platform import Platform
from bot.platforms.lark import LarkPlatform
from config.settings import Settings
from contract.question import question_id
from tests.bot.manners.stage import PEOPLE, Said, Stage
from tests.bot.platforms.lark.conftest import QUICK
from tests.fakes.lark import FakeLark


class LarkStage(Stage):
    """Lark's fake."""

    name = "lark"

    def __init__(self, fake: FakeLark) -> None:
        super().__init__()
        self._fake = fake
        self.tenant = fake.tenant_key
        self._people = {name: fake.add_person(name) for name in PEOPLE}
        self._channels: dict[str, str] = {}
        self._threads: dict[str, list[str]] = {}

    def sections(self) -> dict[str, dict[str, Any]]:
        """As `Stage.sections`."""
        urls = self._fake.urls().items()
        return {"lark": {name.removeprefix("FENNEL_LARK__").lower(): value for name, value in urls}}

    def platform(self, settings: Settings) -> Platform:
        """As `Stage.platform`."""
        return LarkPlatform(settings.lark, times=QUICK, timeout_s=2.0, settle_s=0.1, rotate_after_s=5.0)

    def channel_id(self, name: str) -> str:
        """As `Stage.channel_id`."""
        if name not in self._channels:
            self._channels[name] = self._fake.add_chat(name)
        return self._channels[name]

    def person_id(self, name: str) -> str:
        """As `Stage.person_id`."""
        return self._people[name]

    def say(self, text: str, person: str, channel: str, thread: Said | None = None, *, mention: bool = True) -> Said:
        """As `Stage.say`."""
        where: dict[str, Any] = {"parent_id": thread.root} if thread else {"chat_id": self.channel_id(channel)}
        message_id = self._fake.say(text, person=self.person_id(person), mention_bot=mention, **where)
        root = thread.root if thread else message_id
        self._threads.setdefault(root, []).append(message_id)
        return Said(self.channel_id(channel), message_id, root, text)

    def tell(self, text: str, person: str) -> Said:
        """As `Stage.tell`."""
        message_id = self._fake.say(text, person=self.person_id(person), direct=True)
        return Said(self._fake.chats.messages[message_id].chat_id, message_id, message_id, text)

    def ends(self, said: Said) -> list[str]:
        """As `Stage.ends`."""
        return [one.text for one in self._fake.answers_to(said.message_id) if not one.streaming]

    def all_ends(self, said: Said) -> list[str]:
        """As `Stage.all_ends`."""
        messages = self._threads.get(said.root, [said.message_id])
        return [one.text for each in messages for one in self._fake.answers_to(each) if not one.streaming]

    def all_delivered(self) -> bool:
        """As `Stage.all_delivered`."""
        return not self._fake.unacked_events()

    def judge(self, said: Said, person: str, good: bool) -> None:
        """As `Stage.judge`."""
        answer = self._fake.answers_to(said.message_id)[0]
        asked = question_id(self.name, self.tenant, said.channel, said.message_id)
        value = {"question": asked, "verdict": "good" if good else "bad"}
        self._fake.press(answer.message_id, value, self.person_id(person))

    def called(self, person: str) -> str:
        """As `Stage.called`."""
        return f"<at id={self.person_id(person)}></at>"
