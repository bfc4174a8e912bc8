"""A stage: a platform with the chat behind it, in which several people speak."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from bot.platform import Platform
from config.settings import Settings

ANN, BOB, BOSS, MALLORY, CARER = "ann", "bob", "boss", "mallory", "carer"
PEOPLE = (ANN, BOB, BOSS, MALLORY, CARER)
AMBIENT, ASLEEP, CARED = "ambient", "asleep", "cared"
OWN_CHANNELS: dict[str, dict[str, Any]] = {
    AMBIENT: {"listen": "ambient", "quiet_s": 0.3},
    ASLEEP: {"work_hours": "00:00-23:59", "work_days": []},
    CARED: {"maintainers": [CARER]},
}
"""Channels that have settings of their own; a maintainer stands there by name, and in the settings by id."""


@dataclass(frozen=True, slots=True)
class Said:
    """A message that a person wrote; `root` is the message that began its thread."""

    channel: str
    message_id: str
    root: str
    text: str


class Stage(ABC):
    """One platform. Each test speaks in channels of its own."""

    name: str
    tenant: str
    hears_all = True
    """Whether the platform tells the bot also of messages that do not mention it."""
    has_threads = True
    needs_fence = False
    """Whether nothing but a later message's answer tells that a message has been taken in."""

    def __init__(self) -> None:
        self._count = 0

    def sections(self) -> dict[str, dict[str, Any]]:
        """The platform's settings; a platform of ours needs none."""
        return {}

    @abstractmethod
    def platform(self, settings: Settings) -> Platform:
        """The platform that is tested."""

    def ready(self) -> bool:
        """Whether the bot is connected."""
        return True

    def all_delivered(self) -> bool:
        """Whether the bot has acknowledged everything that was said."""
        return True

    def channel_id(self, name: str) -> str:
        """The platform's id of a channel, which is made when it is asked for first."""
        return name

    def person_id(self, name: str) -> str:
        """The platform's id of a person."""
        return f"u-{name}"

    @abstractmethod
    def say(self, text: str, person: str, channel: str, thread: Said | None = None, *, mention: bool = True) -> Said:
        """A person writes in the channel of this name, or in the thread of another message."""

    @abstractmethod
    def tell(self, text: str, person: str) -> Said:
        """A person writes to the bot alone."""

    @abstractmethod
    def ends(self, said: Said) -> list[str]:
        """The ended replies to this message, as the chat shows them now."""

    def all_ends(self, said: Said) -> list[str]:
        """The ended replies in the message's thread."""
        return self.ends(said)

    @abstractmethod
    def judge(self, said: Said, person: str, good: bool) -> None:
        """A person presses 👍 or 👎 at the answer to this message, or writes it where there is nothing to press."""

    def called(self, person: str) -> str:
        """How a call of this person looks in what `ends` gives."""
        return f"@{self.person_id(person)}"

    def new_channel(self) -> str:
        """A name for a channel that nobody has spoken in."""
        self._count += 1
        return f"room{self._count}"

    def key(self, channel: str) -> str:
        """The channel's name in the settings."""
        return f"{self.name}:{self.tenant}:{self.channel_id(channel)}"

    def person_key(self, person: str) -> str:
        """The person's name in the settings."""
        return f"{self.name}:{self.tenant}:{self.person_id(person)}"
