"""The wire form of every record: one JSON object with its version and kind.

Programs of two releases run side by side while they are restarted one after another, so each release reads what the
one before writes, and leaves alone what only the one after reads. `docs/upgrading.md` says how a record is changed;
`tests/data/wire/` keeps every form that was ever written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, ClassVar, Self

from contract.errors import FennelError

WIRE_VERSION = 1
"""What this program writes."""
OLDEST_READABLE_VERSION = 1
"""One less than `WIRE_VERSION` or lower: what the release before wrote is in Redis, and its programs still run."""
NEWEST_READABLE_VERSION = 1
"""One more than `WIRE_VERSION` in the release that prepares for the next version, else the same."""
MAX_WIRE_BYTES = 1_000_000


class WireError(FennelError):
    """The bytes are no record of ours, or of a version that this program does not read."""


class NewerWireError(WireError):
    """A record that only a newer program reads: it is left where it is, until there is one."""


class WireRecord:
    """Base of the frozen dataclasses that cross; gives each `to_wire` and `from_wire`."""

    KIND: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def to_wire(self) -> str:
        """The record as one line of JSON."""
        # What a newer program added goes on to the next one, though nothing is known of it here.
        added = getattr(self, "_added", {})
        whole = {"v": WIRE_VERSION, "kind": self.KIND, **added, **_plain(self)}
        return json.dumps(whole, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_wire(cls, wire: str | bytes) -> Self:
        """Read a record; raises WireError with a sentence for whatever is wrong with it.

        NewerWireError where nothing is wrong with it, except that this program is too old.
        """
        body = read_object(wire)
        if body.pop("kind", None) != cls.KIND:
            raise WireError(f"expected a record of the kind {cls.KIND!r}")
        version = body.pop("v", None)
        # bool is an int in Python, and JSON's true must not pass for version 1.
        if type(version) is not int or not OLDEST_READABLE_VERSION <= version <= NEWEST_READABLE_VERSION:
            is_newer = type(version) is int and version > NEWEST_READABLE_VERSION
            raise (NewerWireError if is_newer else WireError)(
                f"wire version {version!r} is not read here "
                f"(this program reads {OLDEST_READABLE_VERSION} to {NEWEST_READABLE_VERSION})"
            )
        try:
            record = cls.from_body(body)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise WireError(f"a broken record of the kind {cls.KIND!r}: {error}") from error
        added = {name: value for name, value in body.items() if name not in cls.__dataclass_fields__}
        if added:
            object.__setattr__(record, "_added", added)
        return record

    @classmethod
    def if_readable(cls, wire: str | bytes | None) -> Self | None:
        """The record; None where there is none, or one that is not read here: a newer program shows what it wrote."""
        try:
            return cls.from_wire(wire) if wire else None
        except WireError:
            return None

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Build the record from its JSON members; members that a newer program added are not looked at."""
        return cls(**{name: value for name, value in body.items() if name in cls.__dataclass_fields__})


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
