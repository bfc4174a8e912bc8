"""``/api/METHOD``: tokens, scopes, rates, and everything that can go wrong with a call on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import web

from tests.fakes.server import FakeServer, Fault
from tests.fakes.slack.arguments import ApiError, Arguments, read_arguments, token_of
from tests.fakes.slack.rates import Rates
from tests.fakes.slack.workspace import APP_TOKEN, BOT_TOKEN, Workspace

Method = Callable[[Arguments], dict[str, Any]]

#: What can go wrong with a call. `commit` in a fault's detail says whether the call is carried out all the same.
CALL_FAULTS = (
    "error",  # with `error`: refused by the API
    "ratelimited",  # with `retry_after_s`
    "http",  # with `status`: an HTML page
    "broken_json",  # status 200, JSON cut off
    "drop",  # the connection is lost
    "slow",  # with `delay_s`, in real seconds: carried out at once, answered later
    "stale_ticket",  # apps.connections.open: a URL whose handshake is refused
    "message_deleted",  # a person deletes the message of the call's `ts` just before
    "stream_expired",  # the stream of the call's `ts` reaches the end of its life just before
    "stopped_by_user",  # a person stops the stream of the call's `ts` just before
)
BEFORE = ("message_deleted", "stream_expired", "stopped_by_user")

#: The scope that a method needs; for methods on a conversation, the rest of the scope's name follows its kind.
SCOPES = {
    "agents.sessions.setStatus": "chat:write",
    "assistant.threads.setStatus": "chat:write",
    "chat.appendStream": "chat:write",
    "chat.delete": "chat:write",
    "chat.postMessage": "chat:write",
    "chat.startStream": "chat:write",
    "chat.stopStream": "chat:write",
    "chat.update": "chat:write",
    "conversations.history": ":history",
    "conversations.info": ":read",
    "conversations.replies": ":history",
    "reactions.add": "reactions:write",
    "reactions.remove": "reactions:write",
    "users.info": "users:read",
}
SCOPE_PREFIXES = {"channel": "channels", "group": "groups", "im": "im", "mpim": "mpim"}
LIST_TYPES = {"public_channel": "channels:read", "private_channel": "groups:read", "im": "im:read", "mpim": "mpim:read"}


class WebApi:
    """Dispatches calls to `methods`. `before` lets something happen to the call's message ahead of it."""

    def __init__(
        self,
        server: FakeServer,
        workspace: Workspace,
        rates: Rates,
        methods: dict[str, Method],
        before: Callable[[str, Arguments], None],
        scopes: Iterable[str],
    ) -> None:
        self.server = server
        self.workspace = workspace
        self.rates = rates
        self.methods = methods
        self.before = before
        self.scopes = set(scopes)
        self.enforce_rates = True

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one call."""
        method = request.match_info["method"]
        try:
            arguments = await read_arguments(request)
        except ApiError as error:
            return self._answer(method, 200, error.body())
        self.server.note("in", method, arguments.values)
        fault = self.server.take_fault(method)
        if fault and fault.name in BEFORE:
            self.before(fault.name, arguments)
            fault = None
        if fault and fault.name == "stale_ticket":
            arguments.values["stale_ticket"], fault = True, None
        if fault is None:
            return self._carry_out(request, method, arguments)
        return await self._go_wrong(request, method, arguments, fault)

    def _carry_out(self, request: web.Request, method: str, arguments: Arguments) -> web.Response:
        try:
            self._admit(request, method, arguments)
            retry_after_s = self.rates.excess(method, arguments.get("channel") or "")
            if retry_after_s is not None and self.enforce_rates:
                return self._answer(method, 429, ApiError("ratelimited").body(), retry_after_s)
            body = self.methods[method](arguments)
        except ApiError as error:
            body = error.body()
        return self._answer(method, 200, body)

    async def _go_wrong(
        self, request: web.Request, method: str, arguments: Arguments, fault: Fault
    ) -> web.StreamResponse:
        detail = fault.detail
        self.server.note("out", f"fault.{fault.name}", {"method": method, **detail})
        if fault.name == "error":
            return self._answer(method, 200, ApiError(detail["error"]).body())
        if fault.name == "ratelimited":
            return self._answer(method, 429, ApiError("ratelimited").body(), detail.get("retry_after_s", 1))
        answer: web.Response | None = None
        if detail.get("commit", fault.name == "slow"):
            answer = self._carry_out(request, method, arguments)
        if fault.name == "http":
            page = "<html><body><h1>Server Error</h1></body></html>"
            return web.Response(status=detail.get("status", 500), text=page, content_type="text/html")
        if fault.name == "broken_json":
            return web.Response(text='{"ok":true,"ts":"17', content_type="application/json")
        if fault.name == "slow":
            await asyncio.sleep(detail["delay_s"])
            return answer or self._carry_out(request, method, arguments)
        if request.transport:
            request.transport.abort()
        return web.Response()

    def _admit(self, request: web.Request, method: str, arguments: Arguments) -> None:
        """Raise ApiError unless the call's token may make it."""
        if method not in self.methods:
            raise ApiError("unknown_method", req_method=method)
        token = token_of(request, arguments)
        if token is None:
            raise ApiError("not_authed")
        if token not in (BOT_TOKEN, APP_TOKEN):
            raise ApiError("invalid_auth")
        if (token == APP_TOKEN) != (method == "apps.connections.open"):
            raise ApiError("not_allowed_token_type")
        missing = self._needed(method, arguments) - self.scopes
        if missing:
            raise ApiError("missing_scope", needed=",".join(sorted(missing)), provided=",".join(sorted(self.scopes)))

    def _needed(self, method: str, arguments: Arguments) -> set[str]:
        if method in ("conversations.list", "users.conversations"):
            types = (arguments.get("types") or "public_channel").split(",")
            return {LIST_TYPES[kind] for kind in types if kind in LIST_TYPES}
        scope = SCOPES.get(method)
        if scope is None:
            return set()
        if not scope.startswith(":"):
            return {scope}
        channel = self.workspace.channels.get(arguments.get("channel") or "")
        return {SCOPE_PREFIXES[channel.kind] + scope} if channel else set()

    def _answer(self, method: str, status: int, body: dict[str, Any], retry_after_s: int | None = None) -> web.Response:
        self.server.note("out", method, body)
        headers = {"x-oauth-scopes": ",".join(sorted(self.scopes))}
        if retry_after_s is not None:
            headers["Retry-After"] = str(retry_after_s)
        return web.json_response(body, status=status, headers=headers)
