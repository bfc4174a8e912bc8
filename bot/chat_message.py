"""A chat message: what a platform's event says, in the words of all platforms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

LATEST_S = 1e11
"""No time of a message is as late: the year 5138. Redis takes no infinite score, and a clock no such date."""


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message that a person (or a bot) wrote in a chat.

    `thread` is the conversation it belongs to: the platform's thread, or the channel where it has none.
    `text` is as the person wrote it, without the mention of us. `at_s` is the platform's time, since the epoch.
    `address` is what the platform needs to answer it later; nobody else reads it. Raises ValueError for a time that
    is none.
    """

    platform: str
    tenant: str
    channel: str
    thread: str
    message_id: str
    sender: str
    sender_name: str
    text: str
    at_s: float
    mentions_us: bool
    is_direct: bool = False
    from_bot: bool = False
    address: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.at_s < LATEST_S:  # nor is NaN
            raise ValueError("at_s is no time")
