"""Lark's events (schema 2.0) in the words of all platforms. Pure: nothing here calls anybody.

https://open.feishu.cn/document/server-docs/im-v1/message/events/receive
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal, cast

from bot.chat_event import ChatEvent, FeedbackGiven, MessageDeleted
from bot.chat_message import ChatMessage

Json = Mapping[str, Any]
NAME = "lark"
MESSAGE = "im.message.receive_v1"
RECALLED = "im.message.recalled_v1"
CARD_ACTION = "card.action.trigger"
QUOTED_CHARACTERS = 1_000

_MENTION = re.compile(r"(@_user_\d+|@_all)(\s?)")


class EventError(ValueError):
    """These bytes are no event of Lark's."""


def parse(raw: bytes | str) -> dict[str, Any]:
    """The event as JSON; raises EventError where it is none."""
    try:
        event = json.loads(raw)
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict) or not isinstance(event.get("header"), dict):
        raise EventError("not an event of schema 2.0")
    return event


def event_type(event: Json) -> str:
    """Such as ``im.message.receive_v1``."""
    return str(event["header"].get("event_type", ""))


def translate(event: Json, bot_open_id: str) -> ChatEvent | None:
    """What the event says, or None for an event that is nothing to us. Raises EventError where a part is missing."""
    try:
        kind = event_type(event)
        if kind == MESSAGE:
            return _message(event, bot_open_id)
        if kind == RECALLED:
            body = event["event"]
            return MessageDeleted(
                NAME, str(event["header"]["tenant_key"]), str(body["chat_id"]), str(body["message_id"])
            )
        if kind == CARD_ACTION:
            return _feedback(event)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise EventError(f"{event_type(event)} lacks a part: {error}") from error
    return None


def _message(event: Json, bot_open_id: str) -> ChatMessage:
    sender, message = event["event"]["sender"], event["event"]["message"]
    mentions = message.get("mentions") or []
    is_direct = message.get("chat_type") == "p2p"
    chat_id, message_id = str(message["chat_id"]), str(message["message_id"])
    # Both a chain of replies and a topic name the message that began them, which is the conversation. In a direct
    # chat people just write on: there the chat is the conversation, unless they opened a topic.
    root = str(message.get("root_id") or message_id)
    thread = chat_id if is_direct and not message.get("thread_id") else root
    address = {
        "thread_id": str(message.get("thread_id") or ""),
        "parent_id": str(message.get("parent_id") or ""),
    }
    return ChatMessage(
        platform=NAME,
        tenant=str(event["header"]["tenant_key"]),
        channel=chat_id,
        thread=thread,
        message_id=message_id,
        sender=str((sender.get("sender_id") or {}).get("open_id") or ""),
        sender_name="",
        text=content_text(str(message["message_type"]), str(message["content"]), mentions, bot_open_id),
        at_s=int(message["create_time"]) / 1000,
        mentions_us=any(_open_id(mention) == bot_open_id for mention in mentions),
        is_direct=is_direct,
        from_bot=sender.get("sender_type") != "user",
        address={name: value for name, value in address.items() if value},
    )


def _feedback(event: Json) -> FeedbackGiven | None:
    body = event["event"]
    value = body["action"].get("value")
    if not isinstance(value, dict) or value.get("verdict") not in ("good", "bad") or not value.get("question"):
        return None
    return FeedbackGiven(
        platform=NAME,
        question_id=str(value["question"]),
        by=str(body["operator"]["open_id"]),
        verdict=cast(Literal["good", "bad"], value["verdict"]),
        at_s=int(event["header"]["create_time"]) / 1000,
    )


def content_text(kind: str, content: str, mentions: list[Json], bot_open_id: str) -> str:
    """The words of a text or a post (rich text) with people's names in the place of their keys, without our own.

    Anything else (a picture, a file, a card) has no words: empty.
    """
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return ""
    names = {
        str(mention.get("key")): "" if _open_id(mention) == bot_open_id else f"@{mention.get('name', '')}"
        for mention in mentions
    }
    names["@_all"] = "@all"
    if not isinstance(body, dict):
        return ""
    if kind == "text":
        text = str(body.get("text", ""))
    elif kind == "post":
        text = _post_text(body)
    else:
        return ""

    def named(found: re.Match[str]) -> str:
        name = names.get(found[1], found[1])
        return name + found[2] if name else ""

    return _MENTION.sub(named, text)


def _post_text(body: Json) -> str:
    # An event has the post itself; read back from the API, it may stand under its language.
    if "content" not in body:
        body = next((part for part in body.values() if isinstance(part, dict)), {})
    rows = ["".join(_part_text(part) for part in row) for row in body.get("content") or []]
    return "\n".join(line for line in [str(body.get("title") or ""), *rows] if line)


def _part_text(part: Json) -> str:
    tag = part.get("tag")
    if tag == "a":
        text, href = str(part.get("text", "")), str(part.get("href", ""))
        return text if not href or href == text else f"{text} ({href})"
    if tag == "at":
        return f"{part.get('user_id', '')} "
    if tag == "code_block":
        return f"\n```{str(part.get('language', '')).lower()}\n{part.get('text', '')}\n```\n"
    return str(part.get("text") or "")


def _open_id(mention: Json) -> str:
    """Of a person mentioned: in an event ``id`` is an object, read back from the API it is the open id itself."""
    ids = mention.get("id")
    return str(ids.get("open_id") or "") if isinstance(ids, dict) else str(ids or "")


def quoted_text(item: Json, app_id: str, bot_open_id: str) -> str:
    """The words of a message that is answered, as ``GET im/v1/messages/{id}`` gives it; of our own ones none.

    What we said ourselves stands in the conversation already. Raises EventError where it is no such message.
    """
    try:
        sender = item.get("sender") or {}
        if item.get("deleted") or sender.get("id") in (app_id, bot_open_id):
            return ""
        content = str((item.get("body") or {}).get("content", ""))
        return content_text(str(item.get("msg_type")), content, item.get("mentions") or [], bot_open_id).strip()
    except (TypeError, ValueError, AttributeError) as error:
        raise EventError(f"a message of the API is not what it should be: {error}") from error


def with_quote(text: str, quote: str) -> str:
    """A question below what it refers to."""
    shortened = quote if len(quote) <= QUOTED_CHARACTERS else f"{quote[:QUOTED_CHARACTERS]}…"
    return "\n".join(f"> {line}" for line in shortened.split("\n")) + f"\n\n{text}"
