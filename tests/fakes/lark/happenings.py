"""What people and administrators do on the fake: the things a test injects."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from tests.fakes.lark import events
from tests.fakes.lark.chats import Chat, Chats, Message
from tests.fakes.lark.delivery import Delivery
from tests.fakes.lark.gateway import Gateway

Json = dict[str, Any]


class Happenings:
    """Each of `names`, the values of an event's ``type``, takes the injected JSON and returns what the app is told."""

    def __init__(
        self,
        gateway: Gateway,
        chats: Chats,
        events_of_app: events.EventMaker,
        bot_open_id: str,
        tell: Callable[[Json], Delivery],
    ) -> None:
        self.gateway = gateway
        self.chats = chats
        self.events = events_of_app
        self.bot_open_id = bot_open_id
        self.tell = tell
        self.names: dict[str, Callable[[Json], Json]] = {
            "message": self.message,
            "recall": self.recall,
            "card_action": self.card_action,
            "bot_added": self.bot_added,
            "bot_removed": self.bot_removed,
            "event": self.event,
        }

    def happen(self, event: Json) -> Json:
        """Let it happen; the answer has `event_id` (None if the app is not told) and what was made."""
        if event["type"] not in self.names:
            raise ValueError(f"no such event: {event['type']}")
        return self.names[event["type"]](event)

    def message(self, event: Json) -> Json:
        """A person writes.

        `text`, `chat_id` (a new group without it), `person`, `direct` (in the direct chat), `mention_bot`, `mention`
        (open ids), `message_type` ("text", "post", or another with `content`), `title`, `parent_id` (quotes it),
        `thread_id` or `in_thread` with `parent_id`, `files` (key to bytes in base64).
        """
        message, chat = self._post(event)
        for key, data in event.get("files", {}).items():
            self.chats.resources[message.message_id, key] = base64.b64decode(data)
        told = chat.bot_inside and (
            bool(event.get("mention_bot")) or chat.kind == "p2p" or self.gateway.rules.every_group_message
        )
        event_id = self.tell(self.events.message(message, chat)).event_id if told else None
        return {"event_id": event_id, "message_id": message.message_id, "chat_id": chat.chat_id}

    def recall(self, event: Json) -> Json:
        """A person recalls a message: `message_id`."""
        message = self.chats.messages[event["message_id"]]
        message.recalled = True
        return self._told(self.events.recalled(message, self.chats.now_ms()))

    def card_action(self, event: Json) -> Json:
        """A person presses a button of a card: `message_id`, `value`, `person`."""
        message, person = self.chats.messages[event["message_id"]], self._person(event.get("person"))
        return self._told(self.events.card_action(message, person, event["value"], self.chats.now_ms()))

    def bot_added(self, event: Json) -> Json:
        """The bot is put into a chat: `chat_id`."""
        return self._membership(event["chat_id"], events.BOT_ADDED)

    def bot_removed(self, event: Json) -> Json:
        """The bot is taken out of a chat: `chat_id`."""
        return self._membership(event["chat_id"], events.BOT_REMOVED)

    def event(self, event: Json) -> Json:
        """Any other event: `event_type`, `event`."""
        return self._told(self.events.event(event["event_type"], event["event"], self.chats.now_ms()))

    def untold_question(self, text: str) -> Json:
        """A question to the bot in a new group, as an event that is told to nobody yet."""
        return self.events.message(*self._post({"text": text, "mention_bot": True}))

    def _membership(self, chat_id: str, event_type: str) -> Json:
        chat = self.chats.chats[chat_id]
        chat.bot_inside = event_type == events.BOT_ADDED
        return self._told(self.events.membership(event_type, chat, self._person(None), self.chats.now_ms()))

    def _told(self, event: Json) -> Json:
        return {"event_id": self.tell(event).event_id}

    def _post(self, event: Json) -> tuple[Message, Chat]:
        person = self._person(event.get("person"))
        parent = self._parent(event)
        if parent is not None:
            chat = self.chats.chats[parent.chat_id]
        elif event.get("direct"):
            chat = self.chats.direct(person)
        else:
            chat = self.chats.chats[event["chat_id"]] if event.get("chat_id") else self.chats.add_chat()
        msg_type, content, mentions = self._content(event)
        message = self.chats.post(
            chat,
            sender_id=person,
            from_app=False,
            msg_type=msg_type,
            content=content,
            parent=parent,
            in_thread=bool(event.get("in_thread")),
            mentions=mentions,
        )
        return message, chat

    def _content(self, event: Json) -> tuple[str, str, list[Json]]:
        named = [(self.bot_open_id, "Fennel")] if event.get("mention_bot") else []
        named += [(open_id, self.chats.people[open_id]) for open_id in event.get("mention", [])]
        mentions = [
            events.mention(number, open_id, name, self.events.tenant_key, bot=open_id == self.bot_open_id)
            for number, (open_id, name) in enumerate(named, 1)
        ]
        msg_type, text = event.get("message_type", "text"), event.get("text", "")
        if "content" in event:
            return msg_type, json.dumps(event["content"], ensure_ascii=False), mentions
        if msg_type == "post":
            return msg_type, events.post_content(text, mentions, event.get("title", "")), mentions
        return msg_type, events.text_content(" ".join([*(each["key"] for each in mentions), text])), mentions

    def _parent(self, event: Json) -> Message | None:
        if parent_id := event.get("parent_id"):
            return self.chats.messages[parent_id]
        if thread_id := event.get("thread_id"):
            return next(m for m in self.chats.messages.values() if m.thread_id == thread_id)
        return None

    def _person(self, open_id: str | None) -> str:
        return open_id or next(iter(self.chats.people), None) or self.chats.add_person("Ada")
