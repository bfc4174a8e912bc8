"""Edits: how a good input becomes a bad one. Hypothesis draws them in CI, the night's mutator throws dice for them.

An input that is JSON is edited as a tree, so that what comes out still is JSON and gets past the first look; JSON
inside a string of it (a record in a record, Lark's `content`) is part of the tree.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from random import Random
from typing import Any

DROP = "\0drop"
"""In the place of a value: the member goes."""
ODD_VALUES: tuple[Any, ...] = (
    DROP,
    *(None, True, False, 0, -1, 1, 2**31, 2**64, -(2**70), 10**400, 0.5, 1e308, float("nan"), float("inf")),
    *("", " ", "0", "-1", "1e999", "nan", "٣", "²", "\0", "\ud800", "\U0010ffff", "\u202e", "x" * 5_000, "good:", "{}"),
    *("@_user_1", "<@UBOT>", "<!channel>", "[[[[", '{"a":', "../../etc/passwd", "%s%n{0}", "1700000000.000100"),
    *([], {}, [[]], [None], {"": None}, [{}], {"text": []}, {"content": {}}, {"id": {"open_id": []}}),
)
ODD_BYTES: tuple[bytes, ...] = (
    *(
        b"",
        b"\0",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
        b"\r\n",
        b'"',
        b"{",
        b"}",
        b"[",
        b"]",
        b"<",
        b">",
        b"&",
        b"=",
    ),
    *(b"\\u0000", b"\\ud800", b"1e999", b"-", b"9" * 400, b"[" * 3_000, b'{"a":' * 1_500, b"data: ", b"\n\n", b"null"),
    *(
        b"%PDF-",
        b"PK\x03\x04",
        b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
        b"&b;",
        b"<table>",
        b"|",
        b"```",
        b"---\n",
        b"#",
        b"\t",
    ),
)


@dataclass(frozen=True, slots=True)
class TreeEdit:
    """Puts `value` in the place of the node that `where` falls on."""

    where: int
    value: Any


@dataclass(frozen=True, slots=True)
class ByteEdit:
    """Puts `piece` in the place of `length` bytes; where is taken modulo the size."""

    where: int
    length: int
    piece: bytes


Edit = TreeEdit | ByteEdit


class _Inside:
    """A string whose text is JSON itself."""

    def __init__(self, tree: Any) -> None:
        self.tree = tree


def apply(data: bytes, edits: Sequence[Edit]) -> bytes:
    """The input with these edits: those of the tree first, where it is one, then those of bytes."""
    trees = [edit for edit in edits if isinstance(edit, TreeEdit)]
    if trees and data[:1] in (b"{", b"["):
        try:
            root = [_opened(json.loads(data))]
            for tree_edit in trees:
                _replace(root, tree_edit)
            data = json.dumps(_closed(root[0])).encode("utf-8", "surrogatepass")
        except (ValueError, RecursionError):
            pass  # not JSON, or not any more
    for edit in edits:
        if isinstance(edit, ByteEdit):
            at = edit.where % (len(data) + 1)
            data = data[:at] + edit.piece + data[at + edit.length :]
    return data


def random_edits(dice: Random) -> list[Edit]:
    """A few edits, more often of one kind than of both."""
    of_trees = dice.random()
    return [_random_edit(dice, of_trees) for _ in range(dice.choice((1, 1, 1, 2, 2, 3, 5)))]


def _random_edit(dice: Random, of_trees: float) -> Edit:
    where = dice.randrange(2**20)
    if dice.random() < of_trees:
        return TreeEdit(where, dice.choice(ODD_VALUES))
    piece = dice.choice(ODD_BYTES) if dice.random() < 0.5 else dice.randbytes(dice.choice((0, 1, 1, 2, 4, 16)))
    return ByteEdit(where, dice.choice((0, 0, 1, 1, 2, 8, 64, 1_000)), piece)


def _opened(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _opened(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_opened(one) for one in value]
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return _Inside(_opened(json.loads(value)))
        except (ValueError, RecursionError):
            return value
    return value


def _closed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _closed(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_closed(one) for one in value]
    return json.dumps(_closed(value.tree)) if isinstance(value, _Inside) else value


def _replace(root: list[Any], edit: TreeEdit) -> None:
    places = _places(root)
    if not places:
        return
    box, key = places[edit.where % len(places)]
    value = deepcopy(edit.value)  # later edits may fall inside it
    if isinstance(box, _Inside):
        box.tree = value
    elif value == DROP and box is not root:
        del box[key]
    else:
        box[key] = value


def _places(root: list[Any]) -> list[tuple[Any, Any]]:
    """Every node of the tree, as its box and its key there."""
    places: list[tuple[Any, Any]] = []
    boxes: list[Any] = [root]
    while boxes:
        box = boxes.pop()
        if isinstance(box, _Inside):
            places.append((box, None))
            boxes.append(box.tree)
            continue
        keys = list(box) if isinstance(box, dict) else range(len(box)) if isinstance(box, list) else ()
        places.extend((box, key) for key in keys)
        boxes.extend(box[key] for key in keys)
    return places
