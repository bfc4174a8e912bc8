"""The arguments of one Web API call, whichever way they came, and the error that refuses it."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web


class ApiError(Exception):
    """Refuses a call: HTTP 200 with ``{"ok": false, "error": …}``."""

    def __init__(self, error: str, **more: Any) -> None:
        super().__init__(error)
        self.error = error
        self.more = more

    def body(self) -> dict[str, Any]:
        """The answer's JSON."""
        return {"ok": False, "error": self.error, **self.more}


class Arguments:
    """Arguments from JSON, form and query alike; structured ones may come as a JSON string, as in forms."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def get(self, name: str) -> str | None:
        """A text argument, or None where it is missing or empty."""
        value = self.values.get(name)
        return None if value is None or value == "" else str(value)

    def need(self, name: str, error: str = "invalid_arguments") -> str:
        """A text argument that must be there. Raises ApiError."""
        value = self.get(name)
        if value is None:
            raise ApiError(error, response_metadata={"messages": [f"[ERROR] missing required field: {name}"]})
        return value

    def flag(self, name: str) -> bool:
        """A boolean argument; clients send 1, 0, true and false."""
        return str(self.values.get(name, "")).lower() in ("1", "true")

    def number(self, name: str, default: int) -> int:
        """A whole number. Raises ApiError."""
        value = self.get(name)
        try:
            return default if value is None else int(value)
        except ValueError:
            raise ApiError("invalid_arguments") from None

    def structure(self, name: str, kind: type, error: str) -> Any:
        """A list or object, None where missing. Raises ApiError(`error`) for anything else."""
        value = self.values.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError:
                raise ApiError(error) from None
        if not isinstance(value, kind):
            raise ApiError(error)
        return value


async def read_arguments(request: web.Request) -> Arguments:
    """Collect a request's arguments from its query and its JSON or form body. Raises ApiError for broken JSON."""
    values: dict[str, Any] = dict(request.query)
    if request.content_type == "application/json":
        raw = await request.text()
        try:
            body = json.loads(raw) if raw else {}
        except ValueError:
            raise ApiError("invalid_json") from None
        if not isinstance(body, dict):
            raise ApiError("json_not_object")
        values.update(body)
    elif request.method == "POST":
        values.update({name: value for name, value in (await request.post()).items() if isinstance(value, str)})
    return Arguments(values)


def token_of(request: web.Request, arguments: Arguments) -> str | None:
    """The token from the header, or from the arguments where old clients put it."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "bearer" and token:
        return token
    return arguments.get("token")
