"""The numbers that Lark holds its clients to, and the codes that it answers with.

Sources: the vendor's pages on sending messages and on CardKit (5 a second to one chat, 50 a second and 1000 a minute
per API, one send per card entity, 14 days), and what users of the streaming cards report (10 minutes of streaming).
What no page states is marked "not established". Every value can be set, so that a client can be tried with both
readings.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Codes:
    """Error codes, by what they mean."""

    bad_secret: int = 10014
    token_invalid: int = 99991663
    token_missing: int = 99991661
    rate_limited: int = 99991400
    bad_field: int = 99992402
    bad_request: int = 230001
    bot_not_in_chat: int = 230002
    message_gone: int = 230011
    chat_rate: int = 230020
    too_long: int = 230025
    patch_too_late: int = 230031
    not_the_sender: int = 230071
    too_many_edits: int = 230072
    card_content: int = 230099
    card_json: int = 200621
    card_expired: int = 200750  # also for a card that never was: not established
    streaming_timed_out: int = 200850
    card_too_big: int = 200860
    duplicate_element: int = 300301
    streaming_closed: int = 300309
    no_element: int = 300313
    sequence: int = 300317
    endpoint_auth: int = 514
    too_many_connections: int = 1000040350


@dataclass(frozen=True, slots=True)
class Rules:
    """Limits and times of the platform, in its own seconds.

    Scaled by the fake's `time_scale`: `redelivery_after_s`, `uuid_window_s`, `streaming_ttl_s`, `card_ttl_s`.
    Not scaled, because the client keeps them in its own time: `ack_timeout_s`, `token_ttl_s` and the rates.
    """

    ack_timeout_s: float = 3.0
    redelivery_after_s: tuple[float, ...] = (15, 300, 3600, 21600)
    connections_max: int = 50
    token_ttl_s: float = 7200
    uuid_window_s: float = 3600
    uuid_chars_max: int = 50
    edits_max: int = 20
    text_bytes_max: int = 150 * 1024
    card_bytes_max: int = 30 * 1024
    card_ttl_s: float = 14 * 86400
    card_sent_once: bool = True
    streaming_ttl_s: float = 600
    element_chars_max: int = 100_000
    chat_sends_per_s: int = 5
    message_edits_per_s: int = 5
    card_operations_per_s: int = 10
    api_calls_per_s: int = 50
    api_calls_per_min: int = 1000
    page_size_max: int = 50
    every_group_message: bool = True  # scope im:message.group_msg; without it only messages that mention the bot
    scopes: tuple[str, ...] = (
        "im:message",
        "im:message.group_msg",
        "cardkit:card:write",
        "contact:contact.base:readonly",
        "contact:user.base:readonly",
    )
    scopes_not_granted: tuple[str, ...] = ()
    bot_status: int = 2  # 2: the bot is enabled in the organisation
    codes: Codes = field(default_factory=Codes)
