"""The made-up chat as a stage."""

from __future__ import annotations

from typing import Any

from bot.platform import Platform
from config.settings import Settings
from tests.bot.manners.stage import Said, Stage
from tests.fakes.chat import FakeChat
from tests.fakes.chat_platform import ChatPlatform


class ChatStage(Stage):
    """The made-up chat."""

    name, tenant = "chat", "team"

    def __init__(self, fake: FakeChat) -> None:
        super().__init__()
        self._fake = fake

    def platform(self, settings: Settings) -> Platform:
        """As `Stage.platform`."""
        return ChatPlatform(self._fake.url)

    def say(self, text: str, person: str, channel: str, thread: Said | None = None, *, mention: bool = True) -> Said:
        """As `Stage.say`."""
        self._count += 1
        root = thread.root if thread else f"{channel}-{self._count}" if mention else channel
        return self._write(text, person, channel=channel, thread=root, mentions_us=mention)

    def tell(self, text: str, person: str) -> Said:
        """As `Stage.tell`."""
        return self._write(text, person, channel=f"dm-{person}", thread=f"dm-{person}", is_direct=True)

    def _write(self, text: str, person: str, **message: Any) -> Said:
        message_id = self._fake.write(text, sender=self.person_id(person), sender_name=person, **message)
        return Said(message["channel"], message_id, message["thread"], text)

    def ends(self, said: Said) -> list[str]:
        """As `Stage.ends`."""
        return [post.text for post in self._fake.replies(said.message_id) if post.is_end]

    def all_ends(self, said: Said) -> list[str]:
        """As `Stage.all_ends`."""
        return [post.text for post in self._fake.posts.values() if post.is_end and post.thread == said.root]

    def all_delivered(self) -> bool:
        """As `Stage.all_delivered`."""
        return not any(self._fake.threads.values())

    def judge(self, said: Said, person: str, good: bool) -> None:
        """As `Stage.judge`."""
        self.say("👍" if good else "👎", person, said.channel, said)
