"""The events that the platform tells an app, schema 2.0, as JSON objects."""

from __future__ import annotations

import json
import secrets
from typing import Any

from tests.fakes.lark.chats import Chat, Message

Json = dict[str, Any]
MESSAGE = "im.message.receive_v1"
RECALLED = "im.message.recalled_v1"
CARD_ACTION = "card.action.trigger"
BOT_ADDED = "im.chat.member.bot.added_v1"
BOT_REMOVED = "im.chat.member.bot.deleted_v1"


class EventMaker:
    """Makes events for one app in one tenant."""

    def __init__(self, app_id: str, tenant_key: str, token: str) -> None:
        self.app_id = app_id
        self.tenant_key = tenant_key
        self.token = token

    def event(self, event_type: str, body: Json, create_ms: int) -> Json:
        """Any event: the header and the body that is given."""
        header = {
            "event_id": secrets.token_hex(16),
            "event_type": event_type,
            "create_time": str(create_ms),
            "token": self.token,
            "app_id": self.app_id,
            "tenant_key": self.tenant_key,
        }
        return {"schema": "2.0", "header": header, "event": body}

    def message(self, message: Message, chat: Chat) -> Json:
        """A person wrote something."""
        told: Json = {
            "message_id": message.message_id,
            "create_time": str(message.create_ms),
            "update_time": str(message.update_ms),
            "chat_id": chat.chat_id,
            "chat_type": chat.kind,
            "message_type": message.msg_type,
            "content": message.content,
            "user_agent": "Mozilla/5.0 (a fake platform)",
        }
        places = {"root_id": message.root_id, "parent_id": message.parent_id, "thread_id": message.thread_id}
        told |= {name: value for name, value in places.items() if value}
        if message.mentions:
            told["mentions"] = message.mentions
        sender = {
            "sender_id": person_ids(message.sender_id),
            "sender_type": "app" if message.from_app else "user",
            "tenant_key": self.tenant_key,
        }
        return self.event(MESSAGE, {"sender": sender, "message": told}, message.create_ms)

    def recalled(self, message: Message, recall_ms: int) -> Json:
        """A message was recalled by the person who wrote it."""
        body = {
            "message_id": message.message_id,
            "chat_id": message.chat_id,
            "recall_time": str(recall_ms),
            "recall_type": "message_owner",
        }
        return self.event(RECALLED, body, recall_ms)

    def card_action(self, message: Message, person: str, value: Json, now_ms: int) -> Json:
        """A person pressed a button of a card; `value` is what the card gave the button."""
        body = {
            "operator": {"tenant_key": self.tenant_key, **person_ids(person)},
            "token": f"c-{secrets.token_hex(16)}",
            "action": {"value": value, "tag": "button"},
            "host": "im_message",
            "context": {"open_message_id": message.message_id, "open_chat_id": message.chat_id},
        }
        return self.event(CARD_ACTION, body, now_ms)

    def membership(self, event_type: str, chat: Chat, person: str, now_ms: int) -> Json:
        """The bot came into a chat or had to leave it."""
        body = {"chat_id": chat.chat_id, "operator_id": person_ids(person), "external": False, "name": chat.name}
        return self.event(event_type, body, now_ms)


def person_ids(open_id: str) -> Json:
    """One person under the three names that the platform has for them."""
    tail = open_id.partition("_")[2]
    return {"union_id": f"on_{tail}", "user_id": tail[:8], "open_id": open_id}


def mention(number: int, open_id: str, name: str, tenant_key: str, *, bot: bool) -> Json:
    """The entry for ``@_user_<number>`` in a message."""
    kind = "bot" if bot else "user"
    ids = person_ids(open_id)
    return {"key": f"@_user_{number}", "id": ids, "mentioned_type": kind, "name": name, "tenant_key": tenant_key}


def text_content(text: str) -> str:
    """The content of a text message."""
    return json.dumps({"text": text}, ensure_ascii=False)


def post_content(text: str, mentions: list[Json], title: str = "") -> str:
    """The content of a rich-text message: the mentions and the first line in one row, one row for each further line."""
    rows: list[list[Json]] = [[{"tag": "text", "text": line}] for line in text.split("\n")]
    at = [{"tag": "at", "user_id": each["key"], "user_name": each["name"]} for each in mentions]
    rows[0] = [*at, *rows[0]]
    return json.dumps({"title": title, "content": rows}, ensure_ascii=False)
