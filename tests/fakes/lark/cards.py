"""Card entities (CardKit): one JSON document each, changed by numbered operations, streaming for a while."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.lark.gateway import ApiError
from tests.fakes.lark.rules import Rules

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation that a card accepted; `text` is what a person could read right after it."""

    at_s: float
    name: str
    sequence: int
    text: str


@dataclass(slots=True)
class Card:
    """A card entity. Times are monotonic; `streaming_end_s` is None while streaming mode is off."""

    card_id: str
    content: Json
    end_s: float
    sequence: int = 0
    streaming_end_s: float | None = None
    timed_out: bool = False
    message_id: str | None = None
    uuids: set[str] = field(default_factory=set)
    history: list[Operation] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What a person reads on the card, element by element."""
        return card_text(self.content)

    @property
    def streaming(self) -> bool:
        """Whether streaming mode is on now."""
        return self.streaming_end_s is not None and time.monotonic() < self.streaming_end_s

    def set_streaming(self, on: bool, ttl_s: float) -> None:
        """Open streaming mode for `ttl_s` seconds, or close it."""
        self.streaming_end_s = time.monotonic() + ttl_s if on else None
        self.timed_out = False

    def operate(self, name: str, sequence: Any, uuid: str | None, rules: Rules) -> bool:
        """Admit an operation by its sequence, which has to be above every earlier one of this card.

        False when the operation with this uuid has been done already. Raises ApiError when it is refused.
        """
        if time.monotonic() >= self.end_s:
            raise ApiError(rules.codes.card_expired, "card entity expired")
        if uuid is not None and uuid in self.uuids:
            return False
        if not isinstance(sequence, int) or isinstance(sequence, bool):
            raise ApiError(rules.codes.bad_field, "field validation failed: sequence is required and is an int")
        if sequence <= self.sequence:
            raise ApiError(rules.codes.sequence, "ErrMsg: sequence number compare failed; ")
        return True

    def done(self, name: str, sequence: int, uuid: str | None) -> None:
        """Record an operation that took effect."""
        self.sequence = sequence
        if uuid is not None:
            self.uuids.add(uuid)
        self.history.append(Operation(time.monotonic(), name, sequence, self.text))

    def check_streaming(self, rules: Rules) -> None:
        """Refuse streamed text when streaming mode is closed or has timed out."""
        if self.streaming_end_s is not None and not self.streaming:
            self.streaming_end_s, self.timed_out = None, True
        if self.timed_out:
            raise ApiError(rules.codes.streaming_timed_out, "card streaming timeout")
        if self.streaming_end_s is None:
            raise ApiError(rules.codes.streaming_closed, "ErrMsg: streaming mode is closed; ")

    def element(self, element_id: str, rules: Rules) -> Json:
        """The element with this id; raises ApiError when the card has none."""
        for element in walk(self.content):
            if element.get("element_id") == element_id:
                return element
        raise ApiError(rules.codes.no_element, f"ErrMsg: not find elementID : {element_id}; ")


def parse_card(data: str, rules: Rules, *, entity: bool) -> Json:
    """A card's JSON, checked: an object, no element id twice, small enough. Raises ApiError.

    An entity has to be of schema 2.0; a card inside a message may be of the older kind.
    """
    try:
        content = json.loads(data)
    except ValueError:
        raise ApiError(rules.codes.card_json, "parse card json err") from None
    if not isinstance(content, dict) or (entity and content.get("schema") != "2.0"):
        raise ApiError(rules.codes.card_json, "card schema is not 2.0")
    check_card(content, rules)
    return content


def check_card(content: Json, rules: Rules) -> None:
    """Refuse a card that is too big or has an element id twice."""
    if len(json.dumps(content, ensure_ascii=False).encode()) > rules.card_bytes_max:
        raise ApiError(rules.codes.card_too_big, "card content exceeds limit")
    ids = [element["element_id"] for element in walk(content) if "element_id" in element]
    if len(ids) != len(set(ids)):
        raise ApiError(rules.codes.duplicate_element, "Duplicate element_id in card component")


def walk(node: Any) -> Iterator[Json]:
    """Every object of a card with a ``tag``, in the order in which a person reads them."""
    if isinstance(node, dict):
        if "tag" in node:
            yield node
        for value in node.values():
            yield from walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from walk(value)


def card_text(content: Json) -> str:
    """The text of a card, one line an element: the header's title, then the body."""
    texts = [element["content"] for element in walk(content) if isinstance(element.get("content"), str)]
    return "\n".join(text for text in texts if text)


def remove_element(node: Any, element_id: str) -> bool:
    """Take the element out of the list that holds it; False when there is none."""
    children = list(node.values()) if isinstance(node, dict) else node if isinstance(node, list) else []
    if isinstance(node, list):
        for index, child in enumerate(node):
            if isinstance(child, dict) and child.get("element_id") == element_id:
                del node[index]
                return True
    return any(remove_element(child, element_id) for child in children)


def insert_elements(content: Json, new: list[Json], where: str, target_id: str | None) -> bool:
    """Put `new` at the end of the body (`where` "append") or beside the element `target_id`; False without that one."""
    if where == "append" and not target_id:
        content.setdefault("body", {}).setdefault("elements", []).extend(new)
        return True
    return _insert_beside(content, new, where, target_id)


def _insert_beside(node: Any, new: list[Json], where: str, target_id: str | None) -> bool:
    children = list(node.values()) if isinstance(node, dict) else node if isinstance(node, list) else []
    for index, child in enumerate(children):
        if isinstance(child, dict) and child.get("element_id") == target_id:
            if where == "append":
                child.setdefault("elements", []).extend(new)
                return True
            if isinstance(node, list):
                at = index + (where == "insert_after")
                node[at:at] = new
                return True
    return any(_insert_beside(child, new, where, target_id) for child in children)
