"""The calls under ``cardkit/v1``: card entities and the operations on them."""

from __future__ import annotations

import copy
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

from aiohttp import web

from tests.fakes.lark.cards import (
    Card,
    check_card,
    insert_elements,
    parse_card,
    remove_element,
)
from tests.fakes.lark.gateway import Api, ApiError, Call, Gateway

_CARD = "/open-apis/cardkit/v1/cards/{card_id}"
_ELEMENT = _CARD + "/elements/{element_id}"
Json = dict[str, Any]


class CardApi(Api):
    """Creates card entities and changes them. An operation that is refused changes nothing."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway)
        self.cards: dict[str, Card] = {}

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Serve the calls."""
        add = self.gateway.add
        add(router, "POST", "/open-apis/cardkit/v1/cards", "card.create", self.create)
        add(router, "POST", "/open-apis/cardkit/v1/cards/id_convert", "card.id_convert", self.id_convert)
        add(router, "PUT", _CARD, "card.update", self.update)
        add(router, "PATCH", _CARD + "/settings", "card.settings", self.settings)
        add(router, "POST", _CARD + "/batch_update", "card.batch_update", self.batch_update)
        add(router, "POST", _CARD + "/elements", "element.create", self.create_elements)
        add(router, "PUT", _ELEMENT, "element.update", self.update_element)
        add(router, "PATCH", _ELEMENT, "element.patch", self.patch_element)
        add(router, "DELETE", _ELEMENT, "element.delete", self.delete_element)
        add(router, "PUT", _ELEMENT + "/content", "element.content", self.content)

    # --- entities

    async def create(self, call: Call) -> Json:
        """A new card entity out of card JSON 2.0."""
        if call.text("type") != "card_json":
            raise ApiError(self.rules.codes.bad_field, "only type card_json is served here")
        card = self.inline(parse_card(call.text("data"), self.rules, entity=True))
        return {"data": {"card_id": card.card_id}}

    def inline(self, content: Json) -> Card:
        """An entity for `content`, streaming if its config says so."""
        end_s = time.monotonic() + self.gateway.server.scaled(self.rules.card_ttl_s)
        card = Card(str(uuid.uuid4().int)[:19], content, end_s)
        self._apply_config(card)
        self.cards[card.card_id] = card
        return card

    def for_message(self, body: Json) -> Card:
        """The card that a message with this content shows: an entity by id, or the card itself."""
        if "card_id" not in (body.get("data") or {}):
            try:
                return self.inline(parse_card(json.dumps(body), self.rules, entity=False))
            except ApiError as error:
                raise self._no_card(error.code, error.msg) from None
        card = self.cards.get(str(body["data"]["card_id"]))
        if card is None or time.monotonic() >= card.end_s:
            raise self._no_card(11310, "cardid is invalid")
        if card.message_id and self.rules.card_sent_once:
            raise self._no_card(11310, "cardid is invalid: it was sent before")
        return card

    def _no_card(self, code: int, msg: str) -> ApiError:
        codes = self.rules.codes
        return ApiError(codes.card_content, f"Failed to create card content, ext=ErrCode: {code}; ErrMsg: {msg}; ")

    async def id_convert(self, call: Call) -> Json:
        """The card id of a message that shows a card."""
        message_id = call.text("message_id")
        for card in self.cards.values():
            if card.message_id == message_id:
                return {"data": {"card_id": card.card_id}}
        raise ApiError(self.rules.codes.card_expired, "the message shows no card")

    # --- operations

    async def content(self, call: Call) -> Json:
        """Streamed text: the whole text so far, for an element that shows text."""
        text = call.text("content")
        if not 1 <= len(text) <= self.rules.element_chars_max:
            raise ApiError(self.rules.codes.bad_field, "field validation failed: content has 1 to 100000 characters")

        def change(card: Card) -> None:
            card.check_streaming(self.rules)
            element = card.element(call.path["element_id"], self.rules)
            target = element if element["tag"] in ("markdown", "plain_text") else element.get("text")
            if not isinstance(target, dict):
                raise ApiError(self.rules.codes.bad_field, "the element shows no text")
            target["content"] = text

        return self._operate(call, "content", change)

    async def settings(self, call: Call) -> Json:
        """Change the card's config, streaming mode above all."""
        settings = _parsed(call.text("settings"), dict)

        def change(card: Card) -> None:
            card.content.setdefault("config", {}).update(settings.get("config", {}))
            if "streaming_mode" in settings.get("config", {}):
                self._apply_config(card)

        return self._operate(call, "settings", change)

    async def update(self, call: Call) -> Json:
        """Put another card in the place of this one."""
        new = call.body.get("card")
        if not isinstance(new, dict) or not isinstance(new.get("data"), str):
            raise ApiError(self.rules.codes.bad_field, "field validation failed: card is required")
        content = parse_card(new["data"], self.rules, entity=True)

        def change(card: Card) -> None:
            card.content = content
            self._apply_config(card)

        return self._operate(call, "update", change)

    async def create_elements(self, call: Call) -> Json:
        """Add elements."""
        params = {**call.body, "elements": _parsed(call.text("elements"), list)}
        return self._operate(call, "add_elements", lambda card: self._act(card, "add_elements", params))

    async def update_element(self, call: Call) -> Json:
        """Put another element in the place of one."""
        params = {"element_id": call.path["element_id"], "element": _parsed(call.text("element"), dict)}
        return self._operate(call, "update_element", lambda card: self._act(card, "update_element", params))

    async def patch_element(self, call: Call) -> Json:
        """Change some properties of an element."""
        partial = _parsed(call.text("partial_element"), dict)
        params = {"element_id": call.path["element_id"], "partial_element": partial}
        return self._operate(call, "patch_element", lambda card: self._act(card, "partial_update_element", params))

    async def delete_element(self, call: Call) -> Json:
        """Take an element away."""
        params = {"element_ids": [call.path["element_id"]]}
        return self._operate(call, "delete_elements", lambda card: self._act(card, "delete_elements", params))

    async def batch_update(self, call: Call) -> Json:
        """Several actions as one operation: all of them or none."""
        actions = _parsed(call.text("actions"), list)

        def change(card: Card) -> None:
            for action in actions:
                self._act(card, action["action"], action["params"])

        return self._operate(call, "batch_update", change)

    # --- how an operation goes

    def _operate(self, call: Call, name: str, change: Callable[[Card], None]) -> Json:
        card = self.cards.get(call.path["card_id"])
        if card is None:
            raise ApiError(self.rules.codes.card_expired, "card entity does not exist")
        codes, per_s = self.rules.codes, self.rules.card_operations_per_s
        self.gateway.limit("card_operations", card.card_id, per_s, codes.rate_limited, 429)
        operation_uuid = call.body.get("uuid")
        if not card.operate(name, call.body.get("sequence"), operation_uuid, self.rules):
            return {"data": {}}
        before, streaming = copy.deepcopy(card.content), card.streaming_end_s
        try:
            change(card)
            check_card(card.content, self.rules)
        except ApiError as error:
            card.content = before
            if error.code != codes.streaming_timed_out:
                card.streaming_end_s = streaming
            raise
        card.done(name, call.body["sequence"], operation_uuid)
        return {"data": {}}

    def _act(self, card: Card, action: str, params: Json) -> None:
        codes = self.rules.codes
        if action == "partial_update_setting":
            card.content.setdefault("config", {}).update(params["settings"].get("config", {}))
            self._apply_config(card)
        elif action == "add_elements":
            where, target = params.get("type", "append"), params.get("target_element_id")
            if not insert_elements(card.content, params["elements"], where, target):
                raise ApiError(codes.no_element, f"ErrMsg: not find elementID : {target}; ")
        elif action == "delete_elements":
            for element_id in params["element_ids"]:
                if not remove_element(card.content, element_id):
                    raise ApiError(codes.no_element, f"ErrMsg: not find elementID : {element_id}; ")
        elif action in ("update_element", "partial_update_element"):
            element = card.element(params["element_id"], self.rules)
            if action == "update_element":
                element.clear()
            element.update(params.get("element") or params["partial_element"])
        else:
            raise ApiError(codes.bad_field, f"field validation failed: no action {action}")

    def _apply_config(self, card: Card) -> None:
        on = bool(card.content.get("config", {}).get("streaming_mode"))
        card.set_streaming(on, self.gateway.server.scaled(self.rules.streaming_ttl_s))


def _parsed(text: str, kind: type) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, kind):
        raise ApiError(200621, f"parse json err: {kind.__name__} expected")
    return value
