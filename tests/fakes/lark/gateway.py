"""The door of the REST API: tokens, rates, faults and the shape of an answer."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from multidict import MultiMapping

from tests.fakes.lark.rates import Rates, whole_seconds
from tests.fakes.lark.rules import Rules
from tests.fakes.server import FakeServer, Fault


class ApiError(Exception):
    """A refusal, as the platform words it: HTTP status, code, message."""

    def __init__(self, code: int, msg: str, status: int = 400, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{code} {msg}")
        self.code = code
        self.msg = msg
        self.status = status
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True)
class Call:
    """What a caller asks: `path` holds the parts of the path by name."""

    path: Mapping[str, str]
    query: MultiMapping[str]
    body: dict[str, Any] = field(default_factory=dict)

    def text(self, name: str, default: str | None = None) -> str:
        """A field of the body that has to be a string."""
        value = self.body.get(name, default)
        if not isinstance(value, str):
            raise ApiError(99992402, f"field validation failed: {name} is required and is a string")
        return value


CALL_FAULTS = (
    "code",
    "rate_limited",
    "html",
    "broken_json",
    "drop",
    "slow",
    "hang",
    "commit_late",
    "commit_then_drop",
    "commit_then_html",
    "commit_then_slow",
)

Handler = Callable[[Call], Awaitable[dict[str, Any] | web.Response]]


class Gateway:
    """Serves calls by name. The names are also the kinds of the faults; the kind ``*`` stands for any of them.

    `CALL_FAULTS` before the call takes effect: ``code`` (`code`, `msg`, `status`), ``rate_limited`` (`reset_s`),
    ``html`` (`status`), ``broken_json``, ``drop``, ``slow`` (`delay_s`, then served), ``hang`` (until `release`).
    Both: ``commit_late`` (`delay_s`) cuts the connection at once and lets the call take effect afterwards.
    After it took effect: ``commit_then_drop``, ``commit_then_html`` (`status`), ``commit_then_slow`` (`delay_s`).
    """

    def __init__(self, server: FakeServer, rules: Rules, app_id: str, app_secret: str) -> None:
        self.server = server
        self.rules = rules
        self.rates = Rates()
        self.release = asyncio.Event()
        self.names = {"*"}
        self._app = (app_id, app_secret)
        self._tokens: dict[str, float] = {}  # token -> when it ends, monotonic

    def add(self, router: web.UrlDispatcher, method: str, path: str, name: str, handler: Handler) -> None:
        """Serve `method` `path` as the call `name`, for bearers of a valid token."""
        router.add_route(method, path, self._serving(name, handler, needs_token=True))

    def add_open(self, router: web.UrlDispatcher, path: str, name: str, handler: Handler) -> None:
        """Serve ``POST path`` without a token; its refusals come with HTTP 200."""
        router.add_post(path, self._serving(name, handler, needs_token=False))

    def check_app(self, app_id: Any, app_secret: Any, code: int) -> None:
        """Refuse with `code` when this is not our app's id and secret."""
        if (app_id, app_secret) != self._app:
            raise ApiError(code, "app_id or app_secret is invalid", status=200)

    async def issue_token(self, call: Call) -> dict[str, Any]:
        """A tenant access token. While more than 30 minutes are left, the same one, as the vendor's page has it."""
        self.check_app(call.body.get("app_id"), call.body.get("app_secret"), self.rules.codes.bad_secret)
        now_s = time.monotonic()
        for token, end_s in self._tokens.items():
            if end_s - now_s > 1800:
                return {"msg": "ok", "tenant_access_token": token, "expire": int(end_s - now_s)}
        token = f"t-{secrets.token_hex(16)}"
        self._tokens[token] = now_s + self.rules.token_ttl_s
        return {"msg": "ok", "tenant_access_token": token, "expire": max(1, int(self.rules.token_ttl_s))}

    def void_tokens(self) -> None:
        """Every token issued so far is invalid from now on."""
        self._tokens.clear()

    def limit(self, rule: str, key: str, per_s: int, code: int, status: int = 400) -> None:
        """Refuse with `code` when `rule` allows `key` no further call in this second."""
        if above := self.rates.take(rule, key, per_s, 1.0):
            self.server.note("out", "above_rate", {"rule": rule, "key": key})
            raise ApiError(code, "the frequency limit is reached", status, _reset(per_s, above.wait_s))

    def _limit_api(self, name: str) -> None:
        rules = self.rules
        for rule, count, window_s in (
            ("api_per_s", rules.api_calls_per_s, 1.0),
            ("api_per_min", rules.api_calls_per_min, 60.0),
        ):
            if above := self.rates.take(rule, name, count, window_s):
                self.server.note("out", "above_rate", {"rule": rule, "key": name})
                raise ApiError(
                    rules.codes.rate_limited, "request trigger frequency limit", 429, _reset(count, above.wait_s)
                )

    def _check_token(self, request: web.Request) -> None:
        codes = self.rules.codes
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind != "Bearer" or not token:
            raise ApiError(codes.token_missing, "Missing access token for authorization.")
        if self._tokens.get(token, 0) <= time.monotonic():
            raise ApiError(codes.token_invalid, "Invalid access token for authorization. Please make a test attempt.")

    def _serving(
        self, name: str, handler: Handler, *, needs_token: bool
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        self.names.add(name)

        async def serve(request: web.Request) -> web.StreamResponse:
            fault = self.server.take_fault(name) or self.server.take_fault("*")
            body = await _json_body(request)
            told = {"path": dict(request.match_info), "query": dict(request.query), "body": body}
            self.server.note("in", name, told | ({"fault": fault.name} if fault else {}))
            response = await self._before(fault, request) if fault else None
            if response is None:
                response = await self._answer(name, handler, request, body, needs_token)
                if fault:
                    response = await self._after(fault, request, response)
            self.server.note("out", name, {"status": response.status, "body": getattr(response, "text", None)})
            return response

        return serve

    async def _answer(
        self, name: str, handler: Handler, request: web.Request, body: Any, needs_token: bool
    ) -> web.Response:
        try:
            if needs_token:
                self._check_token(request)
                self._limit_api(name)
            if not isinstance(body, dict):
                raise ApiError(9499, "the request's body is not a JSON object")
            answer = await handler(Call(request.match_info, request.query, body))
        except ApiError as error:
            return _json({"code": error.code, "msg": error.msg}, error.status, error.headers)
        if isinstance(answer, web.Response):
            return answer
        return _json({"code": 0, "msg": "success", **answer})

    async def _before(self, fault: Fault, request: web.Request) -> web.Response | None:
        detail = fault.detail
        if fault.name == "slow":
            await asyncio.sleep(detail.get("delay_s", 1))
        elif fault.name == "commit_late":
            _abort(request)
            await asyncio.sleep(detail.get("delay_s", 1))
        elif fault.name == "hang":
            await self.release.wait()
        elif fault.name == "drop":
            _abort(request)
            return web.Response(status=500)  # nobody reads it
        elif fault.name == "code":
            status = detail.get("status", 200 if request.path == "/callback/ws/endpoint" else 400)
            return _json({"code": detail["code"], "msg": detail.get("msg", "refused")}, status)
        elif fault.name == "rate_limited":
            headers = _reset(self.rules.api_calls_per_s, detail.get("reset_s", 1))
            return _json(
                {"code": self.rules.codes.rate_limited, "msg": "request trigger frequency limit"}, 429, headers
            )
        elif fault.name == "html":
            return _html(detail.get("status", 502))
        elif fault.name == "broken_json":
            return web.Response(text='{"code":0,"msg":"succ', content_type="application/json")
        return None

    async def _after(self, fault: Fault, request: web.Request, response: web.Response) -> web.Response:
        if fault.name == "commit_then_drop":
            _abort(request)
        elif fault.name == "commit_then_slow":
            await asyncio.sleep(fault.detail.get("delay_s", 1))
        elif fault.name == "commit_then_html":
            return _html(fault.detail.get("status", 502))
        return response


def _reset(limit: int, wait_s: float) -> dict[str, str]:
    return {"x-ogw-ratelimit-limit": str(limit), "x-ogw-ratelimit-reset": whole_seconds(wait_s)}


def _json(body: dict[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    log_id = {"X-Tt-Logid": secrets.token_hex(16), "X-Request-Id": secrets.token_hex(16)}
    return web.json_response(body, status=status, headers={**log_id, **(headers or {})})


def _html(status: int) -> web.Response:
    return web.Response(text=f"<html><body><h1>{status}</h1></body></html>", content_type="text/html", status=status)


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


async def _json_body(request: web.Request) -> Any:
    raw = await request.read()
    if not raw:
        return {}
    try:
        return json.loads(raw)
    except ValueError:
        return None


class Api:
    """One of the platform's interfaces, served by its gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    @property
    def rules(self) -> Rules:
        """The platform's rules as they are now."""
        return self.gateway.rules
