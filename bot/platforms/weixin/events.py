"""WeChat's direct messages in the words of all platforms: pure translation.

Shapes as `@tencent-weixin/openclaw-weixin` 2.4.9 types them (`WeixinMessage`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.chat_message import LATEST_S, ChatMessage

PLATFORM = "weixin"
FROM_A_PERSON = 1
TEXT, VOICE = 1, 3
MAX_QUOTE_CHARACTERS = 1_000


class EventError(ValueError):
    """A message that lacks what every message has."""


def is_for_us(body: Mapping[str, Any]) -> bool:
    """Whether a person wrote it to the bot alone. Groups have a field in the protocol and are not offered."""
    return body.get("message_type") == FROM_A_PERSON and not body.get("group_id")


def sender_of(body: Mapping[str, Any]) -> str:
    """The person's id. Raises EventError."""
    sender = body.get("from_user_id")
    if not isinstance(sender, str) or not sender:
        raise EventError("a message without a sender")
    return sender


def id_of(body: Mapping[str, Any]) -> str:
    """The message's id, a uint64. Raises EventError."""
    message_id = body.get("message_id")
    if isinstance(message_id, bool) or not isinstance(message_id, (int, str)) or not message_id:
        raise EventError("a message without an id")
    return str(message_id)


def address_of(body: Mapping[str, Any]) -> dict[str, str]:
    """What an answer has to carry: the token of the context that it belongs to."""
    token = body.get("context_token")
    return {"context_token": token} if isinstance(token, str) and token else {}


def to_message(body: Mapping[str, Any], bot_id: str) -> ChatMessage | None:
    """The message, or None for one without words: an image, a file, a video. Raises EventError."""
    sender, message_id = sender_of(body), id_of(body)
    at_ms = body.get("create_time_ms")
    if isinstance(at_ms, bool) or not isinstance(at_ms, (int, float)) or not 0 < at_ms < 1000 * LATEST_S:
        raise EventError("a message without a time")
    items = body.get("item_list")
    parts = [item for item in items if isinstance(item, Mapping)] if isinstance(items, list) else []
    words = "\n".join(text for text in map(_words, parts) if text)
    quoted = "\n".join(text for text in map(_quoted, parts) if text).strip()[:MAX_QUOTE_CHARACTERS]
    if not words and not quoted and any(item.get("type") != TEXT for item in parts):
        return None
    return ChatMessage(
        platform=PLATFORM,
        tenant=bot_id,
        channel=sender,
        thread=sender,
        message_id=message_id,
        sender=sender,
        # WeChat tells no names.
        sender_name=sender,
        text=_with_quote(words.strip(), quoted),
        at_s=at_ms / 1000,
        mentions_us=True,
        is_direct=True,
        address=address_of(body),
    )


def _words(item: Mapping[str, Any]) -> str:
    """The words of one part: a text's, or those that WeChat heard in a voice message."""
    name = {TEXT: "text_item", VOICE: "voice_item"}.get(_kind(item), "")
    part = item.get(name)
    text = part.get("text") if isinstance(part, Mapping) else None
    return text if isinstance(text, str) else ""


def _quoted(item: Mapping[str, Any]) -> str:
    reference = item.get("ref_msg")
    if not isinstance(reference, Mapping):
        return ""
    quoted = reference.get("message_item")
    title = reference.get("title")
    return (_words(quoted) if isinstance(quoted, Mapping) else "") or (title if isinstance(title, str) else "")


def _kind(item: Mapping[str, Any]) -> int:
    kind = item.get("type")
    return kind if isinstance(kind, int) else 0


def _with_quote(text: str, quoted: str) -> str:
    """The question, and below it what it quotes; nothing asked but a quote is a question of its own."""
    if not quoted or not text:
        return text or quoted
    lines = "\n".join(f"> {line}" for line in quoted.splitlines())
    return f"{text}\n\n{lines}"
