"""Personal WeChat: the messages that iLink's long poll gives."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from bot.platforms.weixin.api import ret_of
from bot.platforms.weixin.events import EventError, address_of, is_for_us, to_message
from tests.fuzz.target import ObjectTarget, Reading

TEXT: dict[str, Any] = {
    "seq": 1,
    "message_id": 2**64 - 1,
    "from_user_id": "u@im.wechat",
    "to_user_id": "b@im.bot",
    "create_time_ms": 1_700_000_000_250,
    "message_type": 1,
    "context_token": "token",
    "ret": 0,
    "item_list": [
        {
            "type": 1,
            "text_item": {"text": "how?"},
            "ref_msg": {"title": "Ada", "message_item": {"type": 1, "text_item": {"text": "see"}}},
        },
        {"type": 3, "voice_item": {"text": "and why"}},
        {"type": 2, "image_item": {}},
    ],
}


class Messages(ObjectTarget):
    """One message."""

    def seeds(self) -> Sequence[bytes]:
        """A text with a quote, a voice message and a picture."""
        return [json.dumps(TEXT).encode()]

    def take(self, body: dict[str, Any]) -> bool:
        """Raises anything but EventError."""
        with Reading(EventError) as reading:
            ret_of(body)
            is_for_us(body)
            address_of(body)
            to_message(body, "b@im.bot")
        return reading.took
