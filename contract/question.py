"""A question: what a person asked in a chat and Fennel has accepted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar

from contract.wire import WireRecord, need

MAX_QUESTION_CHARACTERS = 4_000
_PLATFORM = re.compile(r"[a-z][a-z0-9-]{0,31}")


@dataclass(frozen=True, slots=True)
class Question(WireRecord):
    """One accepted question.

    `id` is derived from where the question stands, so that the same event delivered twice is one question.
    `thread` is the conversation: questions of one thread are answered in order.
    `address` holds what the platform needs to answer and nobody else reads (a recipient, a request id).
    Times are seconds since the epoch.
    `heard` is how it came to us: ``mention``, ``direct``, ``follow_up`` in a thread of ours, or ``ambient``: overheard,
    so that only a sure answer is wanted.
    """

    KIND: ClassVar[str] = "question"

    id: str
    platform: str
    tenant: str
    channel: str
    thread: str
    message_id: str
    asker: str
    asker_name: str
    text: str
    language: str
    asked_at_s: float
    accepted_at_s: float
    address: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    heard: str = "mention"

    def __post_init__(self) -> None:
        for name in ("id", "platform", "tenant", "channel", "thread", "message_id", "asker", "asker_name"):
            need(getattr(self, name), str, name)
        need(self.text, str, "text")
        need(self.heard, str, "heard")
        need(self.asked_at_s, (int, float), "asked_at_s")
        need(self.accepted_at_s, (int, float), "accepted_at_s")
        need(self.address, Mapping, "address")
        if not _PLATFORM.fullmatch(self.platform):
            raise ValueError("platform is no platform's name")
        if self.language not in ("en", "zh"):
            raise ValueError("language is neither en nor zh")
        if len(self.text) > MAX_QUESTION_CHARACTERS:
            raise ValueError(f"text has more than {MAX_QUESTION_CHARACTERS} characters")
        # Not a proxy inside: dataclasses.asdict copies by deepcopy, and a mapping proxy cannot be copied.
        object.__setattr__(self, "address", {str(key): str(value) for key, value in self.address.items()})

    @property
    def place(self) -> str:
        """The key of the channel over all platforms."""
        return f"{self.platform}:{self.tenant}:{self.channel}"

    @property
    def conversation(self) -> str:
        """The key of the thread over all platforms."""
        return f"{self.place}:{self.thread}"


def question_id(platform: str, tenant: str, channel: str, message_id: str) -> str:
    """The id of the question in this message: the same for each delivery, and a job id that RQ allows."""
    # The parts' lengths are hashed too, so that ("ab", "c") and ("a", "bc") are two questions.
    parts = "\0".join(f"{len(part)}:{part}" for part in (platform, tenant, channel, message_id))
    return f"q-{hashlib.sha256(parts.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"
