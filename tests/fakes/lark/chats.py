"""Chats, people and messages: what the platform remembers, and what a person would see of it."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.lark.cards import Card, card_text


def new_id(prefix: str) -> str:
    """A fresh id as the platform makes them, such as ``om_5ce6d572455d361153b7cb51da133945``."""
    return f"{prefix}_{uuid.uuid4().hex}"


@dataclass(slots=True)
class Chat:
    """A group or a direct chat; `topic` is a group in which every message opens a thread."""

    chat_id: str
    name: str
    kind: str = "group"  # or "p2p"
    topic: bool = False
    bot_inside: bool = True
    person: str | None = None  # the other side of a direct chat


@dataclass(slots=True)
class Message:
    """One message; times in milliseconds since 1970 as the platform gives them."""

    message_id: str
    chat_id: str
    sender_id: str
    from_app: bool
    msg_type: str
    content: str
    create_ms: int
    update_ms: int = 0
    root_id: str = ""
    parent_id: str = ""
    thread_id: str = ""
    edits: int = 0
    recalled: bool = False
    mentions: list[dict[str, Any]] = field(default_factory=list)
    reactions: dict[str, str] = field(default_factory=dict)
    card: Card | None = None


@dataclass(frozen=True, slots=True)
class VisibleMessage:
    """What a person would see of a message. `sequence` is that of the card's last operation."""

    message_id: str
    sender_id: str
    from_app: bool
    msg_type: str
    text: str
    parent_id: str
    thread_id: str
    edited: bool
    reactions: tuple[str, ...]
    card: dict[str, Any] | None
    sequence: int
    streaming: bool


class Chats:
    """Every chat, person and message. Ids are unique, creation times rise."""

    def __init__(self, tenant_key: str) -> None:
        self.tenant_key = tenant_key
        self.chats: dict[str, Chat] = {}
        self.people: dict[str, str] = {}  # open_id -> name
        self.messages: dict[str, Message] = {}
        self.resources: dict[tuple[str, str], bytes] = {}  # (message_id, key) -> file
        self._last_ms = 0

    def now_ms(self) -> int:
        """Wall-clock milliseconds that never repeat."""
        self._last_ms = max(self._last_ms + 1, time.time_ns() // 1_000_000)
        return self._last_ms

    def add_person(self, name: str) -> str:
        """A new person; returns the open_id."""
        open_id = new_id("ou")
        self.people[open_id] = name
        return open_id

    def add_chat(self, name: str = "", *, topic: bool = False) -> Chat:
        """A new group with the bot in it."""
        chat = Chat(new_id("oc"), name or "a group", topic=topic)
        self.chats[chat.chat_id] = chat
        return chat

    def direct(self, open_id: str) -> Chat:
        """The direct chat of this person with the bot, opened when there is none."""
        for chat in self.chats.values():
            if chat.person == open_id:
                return chat
        chat = Chat(new_id("oc"), "", kind="p2p", person=open_id)
        self.chats[chat.chat_id] = chat
        return chat

    def post(
        self,
        chat: Chat,
        *,
        sender_id: str,
        from_app: bool,
        msg_type: str,
        content: str,
        parent: Message | None = None,
        in_thread: bool = False,
        mentions: list[dict[str, Any]] | None = None,
    ) -> Message:
        """Add a message. An answer stays in its parent's thread; `in_thread` opens one; in a topic group all do."""
        now_ms = self.now_ms()
        message = Message(new_id("om"), chat.chat_id, sender_id, from_app, msg_type, content, now_ms, now_ms)
        message.mentions = mentions or []
        if parent is not None:
            message.parent_id = parent.message_id
            message.root_id = parent.root_id or parent.message_id
            message.thread_id = self._thread(parent, in_thread)
        elif chat.topic:
            message.thread_id = new_id("omt")
        self.messages[message.message_id] = message
        return message

    def _thread(self, parent: Message, in_thread: bool) -> str:
        root = self.messages.get(parent.root_id, parent)
        if in_thread and not parent.thread_id:
            root.thread_id = root.thread_id or new_id("omt")
            parent.thread_id = root.thread_id
        return parent.thread_id

    def listing(self, *, chat_id: str | None = None, thread_id: str | None = None) -> list[Message]:
        """The messages that the list call gives, oldest first.

        Of a thread in a chat the chat's list holds only the message that opened it.
        """
        if thread_id is not None:
            return [message for message in self.messages.values() if message.thread_id == thread_id]
        in_chat = [message for message in self.messages.values() if message.chat_id == chat_id]
        return [message for message in in_chat if not (message.thread_id and message.root_id)]

    def visible(self, chat_id: str, thread_id: str | None = None) -> list[VisibleMessage]:
        """What a person would see in the chat now, threads opened out, oldest first; recalled messages are gone."""
        return [
            _visible(message)
            for message in list(self.messages.values())
            if message.chat_id == chat_id and not message.recalled and thread_id in (None, message.thread_id)
        ]


def _visible(message: Message) -> VisibleMessage:
    card = message.card
    return VisibleMessage(
        message.message_id,
        message.sender_id,
        message.from_app,
        message.msg_type,
        message_text(message),
        message.parent_id,
        message.thread_id,
        message.edits > 0,
        tuple(message.reactions.values()),
        json.loads(json.dumps(card.content)) if card else None,
        card.sequence if card else 0,
        card.streaming if card else False,
    )


def message_text(message: Message) -> str:
    """The text that a person would read; empty for a picture or a file."""
    if message.card is not None:
        return message.card.text
    content = json.loads(message.content)
    if message.msg_type == "text":
        text = str(content["text"])
        for mention in message.mentions:
            text = text.replace(mention["key"], f"@{mention['name']}")
        return text
    if message.msg_type == "post":
        body = next(iter(content.values())) if "content" not in content else content
        rows = ["".join(str(part.get("text", "")) for part in row) for row in body["content"]]
        return "\n".join(line for line in [body.get("title", ""), *rows] if line)
    return card_text(content) if message.msg_type == "interactive" else ""


def message_item(message: Message, tenant_key: str, app_id: str) -> dict[str, Any]:
    """A message as the get and list calls give it. A card comes as its plain text, not as the JSON that was sent."""
    content = message.content
    if message.recalled:
        content = "This message was recalled"
    elif message.msg_type == "interactive":
        lines = message_text(message).split("\n")
        content = json.dumps({"title": None, "elements": [[{"tag": "text", "text": line}] for line in lines]})
    item: dict[str, Any] = {
        "message_id": message.message_id,
        "msg_type": message.msg_type,
        "create_time": str(message.create_ms),
        "update_time": str(message.update_ms),
        "deleted": message.recalled,
        "updated": message.edits > 0,
        "chat_id": message.chat_id,
        "sender": {
            "id": app_id if message.from_app else message.sender_id,
            "id_type": "app_id" if message.from_app else "open_id",
            "sender_type": "app" if message.from_app else "user",
            "tenant_key": tenant_key,
        },
        "body": {"content": content},
        "mentions": [
            {"key": mention["key"], "id": mention["id"]["open_id"], "id_type": "open_id", "name": mention["name"]}
            for mention in message.mentions
        ],
    }
    places = {"root_id": message.root_id, "parent_id": message.parent_id, "thread_id": message.thread_id}
    return item | {name: value for name, value in places.items() if value}
