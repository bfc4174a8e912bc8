"""WeCom's callbacks in the words of all platforms: pure translation. The bodies are the same in both modes.

Sources: the vendor's pages 100719 (messages) and 101027 (events); shapes as `@wecom/aibot-node-sdk` types them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from bot.chat_event import FeedbackGiven
from bot.chat_message import LATEST_S, ChatMessage

PLATFORM = "wecom"
MAX_QUOTE_CHARACTERS = 1_000
VERDICTS: dict[int, Literal["good", "bad"]] = {1: "good", 2: "bad"}
"""`feedback_event.type`; 3 takes a feedback back."""
# The bot's own name is not told: what stands first with an @ is the mention that brought the message here.
_LEADING_MENTION = re.compile(r"@\S+\s*")


class EventError(ValueError):
    """A callback that lacks what every callback has."""


def chat_of(body: Mapping[str, Any]) -> str:
    """The conversation's id; a single chat's is the person's."""
    return _text_at(body, "chatid") or _text_at(_part(body, "from"), "userid")


def event_type(body: Mapping[str, Any]) -> str:
    """``enter_chat`` and the like; empty for a message."""
    return _text_at(_part(body, "event"), "eventtype") if body.get("msgtype") == "event" else ""


def to_message(body: Mapping[str, Any], bot_name: str, address: Mapping[str, str], now_s: float) -> ChatMessage | None:
    """The message, or None for a kind that has no words: an image, a file, a video. Raises EventError.

    WeCom tells whole seconds; messages of one second keep the order in which they arrive, at `now_s`.
    """
    message_id, sender = _text_at(body, "msgid"), _text_at(_part(body, "from"), "userid")
    if not message_id or not sender:
        raise EventError("a message without an id or a sender")
    words = _words(body)
    if words is None:
        return None
    group = body.get("chattype") == "group"
    chat = chat_of(body)
    text = without_mention(words, bot_name) if group else words.strip()
    return ChatMessage(
        platform=PLATFORM,
        tenant=_text_at(body, "aibotid"),
        channel=chat,
        thread=chat,
        message_id=message_id,
        sender=sender,
        # WeCom tells no names.
        sender_name=sender,
        text=_with_quote(text, _quoted(body)),
        at_s=min(max(_time_s(body), now_s), _time_s(body) + 1.0),
        mentions_us=True,
        is_direct=not group,
        address=dict(address),
    )


def to_feedback(body: Mapping[str, Any]) -> FeedbackGiven | None:
    """What a person thinks of an answer, or None where they took it back, or it is of no answer of ours."""
    detail = _part(_part(body, "event"), "feedback_event")
    kind, question_id = detail.get("type"), _text_at(detail, "id")
    verdict = VERDICTS.get(kind) if isinstance(kind, int) else None
    if verdict is None or not question_id:
        return None
    return FeedbackGiven(
        platform=PLATFORM,
        question_id=question_id,
        by=_text_at(_part(body, "from"), "userid"),
        verdict=verdict,
        at_s=_time_s(body),
        reason=_text_at(detail, "content"),
    )


def without_mention(text: str, bot_name: str) -> str:
    """The text without the mention of us: the bot's name wherever it stands, else whatever is mentioned first."""
    named = re.compile(rf"@{re.escape(bot_name)}(?![A-Za-z0-9_])\s*", re.IGNORECASE)
    without = named.sub("", text)
    if without == text:
        without = _LEADING_MENTION.sub("", text.lstrip(), count=1) if text.lstrip().startswith("@") else text
    return without.strip()


def _words(body: Mapping[str, Any]) -> str | None:
    kind = body.get("msgtype")
    part = _part(body, str(kind))
    if kind in ("text", "voice"):
        return _text_at(part, "content")
    if kind == "mixed":
        items = part.get("msg_item")
        texts = [_text_at(_part(item, "text"), "content") for item in items] if isinstance(items, list) else []
        return "\n".join(text for text in texts if text)
    return None


def _quoted(body: Mapping[str, Any]) -> str:
    """The words of the message that this one quotes."""
    return _words(_part(body, "quote")) or ""


def _with_quote(text: str, quoted: str) -> str:
    """The question, and below it what it quotes; nothing asked but a quote is a question of its own."""
    quoted = quoted.strip()[:MAX_QUOTE_CHARACTERS]
    if not quoted:
        return text
    if not text:
        return quoted
    lines = "\n".join(f"> {line}" for line in quoted.splitlines())
    return f"{text}\n\n{lines}"


def _time_s(body: Mapping[str, Any]) -> float:
    value = body.get("create_time")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < LATEST_S:
        raise EventError("a callback without a time")
    return float(value)


def _part(body: Any, name: str) -> Mapping[str, Any]:
    part = body.get(name) if isinstance(body, Mapping) else None
    return part if isinstance(part, Mapping) else {}


def _text_at(part: Mapping[str, Any], name: str) -> str:
    value = part.get(name)
    return value if isinstance(value, str) else ""
