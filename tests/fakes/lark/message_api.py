"""The calls under ``im/v1`` and those about the bot and people."""

from __future__ import annotations

import json
import time
from typing import Any

from aiohttp import web

from tests.fakes.lark.card_api import CardApi
from tests.fakes.lark.cards import Card, parse_card
from tests.fakes.lark.chats import Chat, Chats, Message, message_item, new_id
from tests.fakes.lark.gateway import Api, ApiError, Call, Gateway

_BASE = "/open-apis/im/v1/messages"
_DAY_MS = 86_400_000


class MessageApi(Api):
    """Sends, edits, recalls and lists messages, and keeps the vendor's rules for it."""

    def __init__(self, gateway: Gateway, chats: Chats, cards: CardApi, app_id: str, bot_open_id: str) -> None:
        super().__init__(gateway)
        self.codes = gateway.rules.codes
        self.chats = chats
        self.cards = cards
        self.app_id = app_id
        self.bot_open_id = bot_open_id
        self._sent: dict[str, tuple[str, float]] = {}  # uuid -> (message_id, when, monotonic)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Serve the calls."""
        add = self.gateway.add
        add(router, "POST", _BASE, "message.create", self.create)
        add(router, "GET", _BASE, "message.list", self.list)
        add(router, "POST", _BASE + "/{message_id}/reply", "message.reply", self.reply)
        add(router, "GET", _BASE + "/{message_id}", "message.get", self.get)
        add(router, "PATCH", _BASE + "/{message_id}", "message.patch", self.patch)
        add(router, "PUT", _BASE + "/{message_id}", "message.update", self.update)
        add(router, "DELETE", _BASE + "/{message_id}", "message.delete", self.delete)
        add(router, "POST", _BASE + "/{message_id}/reactions", "reaction.create", self.react)
        add(router, "DELETE", _BASE + "/{message_id}/reactions/{reaction_id}", "reaction.delete", self.unreact)
        add(router, "GET", _BASE + "/{message_id}/resources/{key}", "message.resource", self.resource)
        add(router, "GET", "/open-apis/im/v1/chats/{chat_id}", "chat.get", self.get_chat)
        add(router, "GET", "/open-apis/bot/v3/info", "bot.info", self.bot_info)
        add(router, "GET", "/open-apis/application/v6/scopes", "scopes", self.list_scopes)
        add(router, "GET", "/open-apis/contact/v3/users/batch", "users.batch", self.users)

    # --- sending

    async def create(self, call: Call) -> dict[str, Any]:
        """Send to a chat or a person."""
        if known := self._sent_before(call):
            return {"data": self._told(known)}
        receiver, id_type = call.text("receive_id"), call.query.get("receive_id_type", "open_id")
        if id_type == "chat_id":
            chat = self.chats.chats.get(receiver)
        else:
            chat = self.chats.direct(receiver) if receiver in self.chats.people else None
        return {"data": self._told(self._send(call, self._open(chat), None))}

    async def reply(self, call: Call) -> dict[str, Any]:
        """Answer a message, in its thread when it has one."""
        if known := self._sent_before(call):
            return {"data": self._told(known)}
        parent = self._message(call)
        return {"data": self._told(self._send(call, self._open(self.chats.chats[parent.chat_id]), parent))}

    def _sent_before(self, call: Call) -> Message | None:
        uuid = call.text("uuid", "")
        if len(uuid) > self.rules.uuid_chars_max:
            raise ApiError(self.codes.bad_field, "field validation failed: uuid is longer than 50 characters")
        message_id, at_s = self._sent.get(uuid, ("", 0.0))
        window_s = self.gateway.server.scaled(self.rules.uuid_window_s)
        return self.chats.messages[message_id] if message_id and time.monotonic() - at_s < window_s else None

    def _send(self, call: Call, chat: Chat, parent: Message | None) -> Message:
        msg_type, content = call.text("msg_type"), call.text("content")
        card = self._check_content(msg_type, content)
        self.gateway.limit("chat_sends", chat.chat_id, self.rules.chat_sends_per_s, self.codes.chat_rate)
        message = self.chats.post(
            chat,
            sender_id=self.bot_open_id,
            from_app=True,
            msg_type=msg_type,
            content=content,
            parent=parent,
            in_thread=bool(call.body.get("reply_in_thread")),
        )
        if card is not None:
            message.card, card.message_id = card, message.message_id
        if uuid := call.text("uuid", ""):
            self._sent[uuid] = (message.message_id, time.monotonic())
        return message

    def _check_content(self, msg_type: str, content: str) -> Card | None:
        """Refuse what the platform would; returns the card that the message will show, if any."""
        limit = self.rules.text_bytes_max if msg_type == "text" else self.rules.card_bytes_max
        if len(content.encode()) > limit:
            raise ApiError(self.codes.too_long, "The length of the message content reaches its limit.")
        try:
            body = json.loads(content)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise ApiError(self.codes.bad_request, "content is not a string in json format")
        if msg_type == "interactive":
            return self.cards.for_message(body)
        if msg_type == "text" and (not isinstance(body.get("text"), str) or not body["text"]):
            raise ApiError(self.codes.bad_request, "text is required")
        if msg_type == "post" and not all(
            isinstance(language, dict) and isinstance(language.get("content"), list) for language in body.values()
        ):
            raise ApiError(self.codes.bad_request, "a post has a title and content by language")
        return None

    # --- changing

    async def patch(self, call: Call) -> dict[str, Any]:
        """Show another card in a message, at most 14 days after it was sent."""
        message = self._own(call)
        if message.msg_type != "interactive":
            raise ApiError(self.codes.bad_request, "only a card can be patched")
        if self.chats.now_ms() - message.create_ms > self.gateway.server.scaled(14 * _DAY_MS):
            raise ApiError(self.codes.patch_too_late, "the message is older than 14 days")
        content = call.text("content")
        if len(content.encode()) > self.rules.card_bytes_max:
            raise ApiError(self.codes.too_long, "The length of the message content reaches its limit.")
        card = self.cards.inline(parse_card(content, self.rules, entity=False))
        self._limit_edits(message)
        card.message_id, message.card, message.content = message.message_id, card, content
        self._edited(message)
        return {"data": {}}

    async def update(self, call: Call) -> dict[str, Any]:
        """Edit a text or a post, at most 20 times."""
        message = self._own(call)
        msg_type, content = call.text("msg_type"), call.text("content")
        if msg_type not in ("text", "post") or msg_type != message.msg_type:
            raise ApiError(self.codes.bad_request, "only a text or a post can be edited, and keeps its kind")
        self._check_content(msg_type, content)
        if message.edits >= self.rules.edits_max:
            raise ApiError(self.codes.too_many_edits, "The message has reached the number of times it can be edited.")
        self._limit_edits(message)
        message.content = content
        self._edited(message)
        return {"data": self._told(message)}

    def _limit_edits(self, message: Message) -> None:
        edits_per_s = self.rules.message_edits_per_s
        self.gateway.limit("message_edits", message.message_id, edits_per_s, self.codes.chat_rate)

    def _edited(self, message: Message) -> None:
        message.edits += 1
        message.update_ms = self.chats.now_ms()

    async def delete(self, call: Call) -> dict[str, Any]:
        """Recall one of the bot's messages."""
        self._own(call).recalled = True
        return {"data": {}}

    async def react(self, call: Call) -> dict[str, Any]:
        """Put an emoji under a message; the same emoji twice is one reaction."""
        message = self._message(call)
        kind = call.body.get("reaction_type")
        emoji = kind.get("emoji_type") if isinstance(kind, dict) else None
        if not isinstance(emoji, str):
            raise ApiError(self.codes.bad_field, "field validation failed: reaction_type.emoji_type is required")
        known = [reaction_id for reaction_id, name in message.reactions.items() if name == emoji]
        reaction_id = known[0] if known else new_id("re")
        message.reactions[reaction_id] = emoji
        return {"data": {"reaction_id": reaction_id, "reaction_type": {"emoji_type": emoji}}}

    async def unreact(self, call: Call) -> dict[str, Any]:
        """Take an emoji away."""
        if self._message(call).reactions.pop(call.path["reaction_id"], None) is None:
            raise ApiError(self.codes.bad_request, "the reaction does not exist")
        return {"data": {}}

    # --- looking

    async def get(self, call: Call) -> dict[str, Any]:
        """One message; of a recalled one only that it was there."""
        message = self.chats.messages.get(call.path["message_id"])
        if message is None:
            raise ApiError(self.codes.bad_request, "invalid message_id")
        self._open(self.chats.chats[message.chat_id])
        return {"data": {"items": [message_item(message, self.chats.tenant_key, self.app_id)]}}

    async def list(self, call: Call) -> dict[str, Any]:
        """The messages of a chat or a thread, by pages."""
        kind, container = call.query.get("container_id_type"), call.query.get("container_id", "")
        if kind == "chat":
            self._open(self.chats.chats.get(container))
            found = self.chats.listing(chat_id=container)
        elif kind == "thread":
            found = self.chats.listing(thread_id=container)
        else:
            raise ApiError(self.codes.bad_field, "field validation failed: container_id_type is chat or thread")
        size, start = int(call.query.get("page_size", "20")), int(call.query.get("page_token") or "0")
        if not 1 <= size <= self.rules.page_size_max:
            raise ApiError(
                self.codes.bad_field, f"field validation failed: page_size is 1 to {self.rules.page_size_max}"
            )
        begin_ms = int(call.query.get("start_time", "0")) * 1000
        end_ms = int(call.query.get("end_time", str(2**40))) * 1000 + 999
        found = [message for message in found if begin_ms <= message.create_ms <= end_ms]
        if call.query.get("sort_type", "ByCreateTimeAsc") == "ByCreateTimeDesc":
            found.reverse()
        more = len(found) > start + size
        items = [message_item(message, self.chats.tenant_key, self.app_id) for message in found[start : start + size]]
        return {"data": {"has_more": more, "page_token": str(start + size) if more else "", "items": items}}

    async def resource(self, call: Call) -> web.Response:
        """A picture or a file of a message."""
        data = self.chats.resources.get((call.path["message_id"], call.path["key"]))
        if data is None:
            raise ApiError(self.codes.bad_request, "the message holds no such file")
        return web.Response(body=data, content_type="application/octet-stream")

    async def get_chat(self, call: Call) -> dict[str, Any]:
        """What a chat is."""
        chat = self._open(self.chats.chats.get(call.path["chat_id"]))
        mode = "p2p" if chat.kind == "p2p" else "topic" if chat.topic else "group"
        return {"data": {"name": chat.name, "chat_mode": mode, "chat_type": "private", "chat_status": "normal"}}

    async def bot_info(self, call: Call) -> dict[str, Any]:
        """Who the bot is; this call has its answer beside the code, not under ``data``."""
        return {
            "msg": "ok",
            "bot": {"activate_status": self.rules.bot_status, "app_name": "Fennel", "open_id": self.bot_open_id},
        }

    async def list_scopes(self, call: Call) -> dict[str, Any]:
        """The permissions that the app asks for, and whether it has them."""
        granted = [{"scope_name": name, "grant_status": 1} for name in self.rules.scopes]
        asked = [{"scope_name": name, "grant_status": 2} for name in self.rules.scopes_not_granted]
        return {"data": {"scopes": granted + asked}}

    async def users(self, call: Call) -> dict[str, Any]:
        """People by their open ids; those who are unknown are left out."""
        wanted = call.query.getall("user_ids", [])
        people = [(open_id, self.chats.people[open_id]) for open_id in wanted if open_id in self.chats.people]
        return {"data": {"items": [{"open_id": open_id, "name": name} for open_id, name in people]}}

    # --- checks

    def _open(self, chat: Chat | None) -> Chat:
        if chat is None or not chat.bot_inside:
            raise ApiError(self.codes.bot_not_in_chat, "The bot can not be outside the group.")
        return chat

    def _message(self, call: Call) -> Message:
        message = self.chats.messages.get(call.path["message_id"])
        if message is None:
            raise ApiError(self.codes.bad_request, "invalid message_id")
        if message.recalled:
            raise ApiError(self.codes.message_gone, "The message was recalled.")
        return message

    def _own(self, call: Call) -> Message:
        message = self._message(call)
        if not message.from_app:
            raise ApiError(self.codes.not_the_sender, "The operator is not the sender of the message.")
        self._open(self.chats.chats[message.chat_id])
        return message

    def _told(self, message: Message) -> dict[str, Any]:
        return message_item(message, self.chats.tenant_key, self.app_id)
