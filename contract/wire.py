"""The wire form of every record: one JSON object with its version and kind.

Version N reads N-1, so that workers can be restarted before the bots.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, ClassVar, Self

from contract.errors import FennelError

WIRE_VERSION = 1
OLDEST_READABLE_VERSION = 1
MAX_WIRE_BYTES = 1_000_000


class WireError(FennelError):
    """The bytes are no record of ours, or of a version that this program does not read."""


class WireRecord:
    """Base of the frozen dataclasses that cross; gives each `to_wire` and `from_wire`."""

    KIND: ClassVar[str]

    def to_wire(self) -> str:
        """The record as one line of JSON."""
        body = _plain(self)
        return json.dumps({"v": WIRE_VERSION, "kind": self.KIND, **body}, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_wire(cls, wire: str | bytes) -> Self:
        """Read a record; raises WireError with a sentence for whatever is wrong with it."""
        body = read_object(wire)
        if body.pop("kind", None) != cls.KIND:
            raise WireError(f"expected a record of the kind {cls.KIND!r}")
        version = body.pop("v", None)
        # bool is an int in Python, and JSON's true must not pass for version 1.
        if type(version) is not int or not OLDEST_READABLE_VERSION <= version <= WIRE_VERSION:
            raise WireError(
                f"wire version {version!r} is not read here "
                f"(this program reads {OLDEST_READABLE_VERSION} to {WIRE_VERSION})"
            )
        try:
            return cls.from_body(body)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise WireError(f"a broken record of the kind {cls.KIND!r}: {error}") from error

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Build the record from its JSON members; members that a newer version added are ignored."""
        known = {field.name for field in fields(cls)}  # type: ignore[arg-type]
        return cls(**{name: value for name, value in body.items() if name in known})


def read_object(wire: str | bytes) -> dict[str, Any]:
    """The JSON object in `wire`; raises WireError where there is none."""
    if len(wire) > MAX_WIRE_BYTES:
        raise WireError(f"a record of {len(wire)} bytes is over the limit of {MAX_WIRE_BYTES}")
    try:
        body = json.loads(wire)
    except (ValueError, RecursionError) as error:
        raise WireError(f"not JSON: {error}") from error
    if not isinstance(body, dict):
        raise WireError(f"expected a JSON object, not {type(body).__name__}")
    return body


def need(value: object, kind: type | tuple[type, ...], name: str) -> None:
    """Raise ValueError unless `value` is of `kind`; a record calls it for each field it is built with."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{name} is {type(value).__name__}")


def _plain(value: Any) -> Any:
    """What JSON takes. `dataclasses.asdict` copies deeply, which was a tenth of what a question costs the worker."""
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return [_plain(one) for one in value] if isinstance(value, tuple) else value
