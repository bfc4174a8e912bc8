"""Who may ask: lists of tenants, channels and people by the platforms' own ids, never by a name."""

from __future__ import annotations

from bot.chat_event import MessageDeleted
from bot.chat_message import ChatMessage
from config.sections import AccessSettings


def place_of(event: ChatMessage | MessageDeleted) -> str:
    """The channel's key over all platforms, as the settings name it."""
    return f"{event.platform}:{event.tenant}:{event.channel}"


def person_of(message: ChatMessage) -> str:
    """The person's key over all platforms, as the settings name it."""
    return f"{message.platform}:{message.tenant}:{message.sender}"


class Access:
    """The lists of the settings."""

    def __init__(self, settings: AccessSettings) -> None:
        self._direct_messages = settings.direct_messages
        self._allow_tenants, self._deny_tenants = frozenset(settings.allow_tenants), frozenset(settings.deny_tenants)
        self._allow_channels = frozenset(settings.allow_channels)
        self._deny_channels = frozenset(settings.deny_channels)
        self._allow_people, self._deny_people = frozenset(settings.allow_people), frozenset(settings.deny_people)
        self._bots = frozenset(settings.allow_bots)
        self._admins = frozenset(settings.admins)

    def is_admin(self, message: ChatMessage) -> bool:
        """Whether the person may use the commands for admins; a bot never may."""
        return not message.from_bot and person_of(message) in self._admins

    def is_answered_bot(self, message: ChatMessage) -> bool:
        """Whether this bot is answered like a person."""
        return person_of(message) in self._bots

    def is_denied(self, message: ChatMessage) -> bool:
        """Whether the tenant, the channel or the person gets no word."""
        return (
            f"{message.platform}:{message.tenant}" in self._deny_tenants
            or place_of(message) in self._deny_channels
            or person_of(message) in self._deny_people
        )

    def refusal(self, message: ChatMessage) -> str:
        """Why the message is not answered, as the key of a sentence; empty where it may be."""
        if self.is_admin(message):
            return ""
        person = person_of(message)
        if message.is_direct and self._direct_messages != "allow":
            allowed = self._direct_messages == "people" and person in self._allow_people
            return "" if allowed else "no_direct"
        here = (
            _holds(self._allow_tenants, f"{message.platform}:{message.tenant}")
            # A direct chat is no channel that anybody could list: the DM policy decides.
            and (message.is_direct or _holds(self._allow_channels, place_of(message)))
            and (message.from_bot or _holds(self._allow_people, person))
        )
        return "" if here else "not_here"


def _holds(allowed: frozenset[str], one: str) -> bool:
    return not allowed or one in allowed
