"""Slack's numbers, in Slack's own seconds and characters.

Where the vendor documents no number, or third parties measured another one, the value is a field to be set,
so that a client can be tried under each reading.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Calls a minute and workspace, by method: the tiers named on each method's page of the Slack documentation.
#: ``chat.postMessage`` has a rule of its own (see `Rules.post_burst`); status lines and auth.test have a special one.
CALLS_PER_MINUTE = {
    "agents.sessions.setStatus": 50,
    "apps.connections.open": 50,
    "chat.appendStream": 100,
    "chat.delete": 50,
    "chat.startStream": 20,
    "chat.stopStream": 20,
    "chat.update": 50,
    "conversations.history": 50,
    "conversations.info": 50,
    "conversations.list": 20,
    "conversations.replies": 50,
    "reactions.add": 50,
    "reactions.remove": 20,
    "users.conversations": 50,
    "users.info": 100,
}

#: The scopes that a bot token has unless a test takes some away.
BOT_SCOPES = (
    "app_mentions:read",
    "assistant:write",
    "channels:history",
    "channels:read",
    "chat:write",
    "groups:history",
    "groups:read",
    "im:history",
    "im:read",
    "mpim:history",
    "mpim:read",
    "reactions:read",
    "reactions:write",
    "users:read",
)

#: The event subscriptions of the app unless a test chooses others.
SUBSCRIPTIONS = ("app_mention", "message.channels", "message.groups", "message.im", "message.mpim")


@dataclass(frozen=True, slots=True)
class Rules:
    """What the fake enforces. Lengths are counted by `length_unit`.

    `ack_timeout_s` and `ticket_life_s` race against the client's own work, so they are real seconds, never scaled;
    every other time is in Slack's seconds and shrinks with the fake's ``time_scale``.
    """

    ack_timeout_s: float = 3.0
    ticket_life_s: float = 30.0  # not documented
    server_ping_interval_s: float = 10.0  # real seconds, as clients watch for it with timers of their own
    retry_delays_s: tuple[float, ...] = (0.0, 60.0, 300.0)  # the Events API's; for Socket Mode not documented
    connection_life_s: float = 18_060.0
    disconnect_grace_s: float = 10.0
    max_connections: int = 10
    status_life_s: float = 120.0
    stream_life_s: float = 300.0  # not documented; measured by third parties
    stream_idle_s: float | None = None  # some third parties saw streams end after about 30 s of silence
    post_burst: tuple[int, float] = (5, 5.0)  # calls a channel in a window of seconds: one a second, short bursts
    length_unit: str = "characters"  # or "utf16": what JavaScript calls the length
    truncated_text_chars: int = 40_000
    update_text_chars: int = 4_000
    markdown_text_chars: int = 12_000
    all_blocks_chars: int = 13_200  # not documented; measured by third parties
    section_text_chars: int = 3_000
    max_blocks: int = 50
    max_context_actions: int = 5
    max_loading_messages: int = 10
    max_metadata_bytes: int = 16_000
    markdown_text_excludes_text: bool = True
    stream_mode_locked: bool = True
    dedupe_client_msg_id: bool = False  # works for some third parties, promised by nobody
    echo_own_messages: bool = True  # an app is told of its own messages too

    def length(self, text: str) -> int:
        """How long Slack takes `text` to be."""
        return len(text.encode("utf-16-le")) // 2 if self.length_unit == "utf16" else len(text)
