"""The door: every request to the page passes it, and whatever lies behind is told who it is.

Written against ASGI itself, so that streams pass as they come.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import quote, urlsplit

import structlog
from redis.exceptions import RedisError
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot.platforms.web import metrics
from bot.platforms.web.html_pages import HtmlPages
from bot.platforms.web.look import Look, Reader
from bot.platforms.web.passwords import Passwords, is_loopback
from bot.platforms.web.people import People, Person
from bot.platforms.web.words import wanted_language

SESSION_COOKIE, PERSON_COOKIE, LANGUAGE_COOKIE = "fennel_session", "fennel_person", "fennel_language"
TABS = ("operators", "knowledge")
OPEN_TO_ALL = ("/enter", "/static/", "/language/", "/favicon.ico")
REDIS_WITHIN_S = 5.0
MAX_BODY_BYTES = 64 * 1024
_READING = ("GET", "HEAD")
_SCRIPT = re.compile(rb"<script(?=[\s>])")
_COMMON = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
_NOTHING_FROM_OUTSIDE = (
    "default-src 'self'; img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'none'; "
)

log = structlog.get_logger(__name__)


class Door:
    """Lets in who may come in. `max_upload_bytes` is for the operators' tabs, where documents are uploaded."""

    def __init__(self, app: ASGIApp, people: People, passwords: Passwords, look: Look, max_upload_bytes: int) -> None:
        self._app = app
        self._people = people
        self._passwords = passwords
        self._look = look
        self._max_upload_bytes = max_upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it here."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        answer = await self._answer_at_the_door(request)
        tab = _is_tab(request.url.path)
        headers = _Headers(send, for_tab=tab)
        if answer is not None:
            await answer(scope, receive, headers.send)
            return
        most = self._max_upload_bytes if tab else MAX_BODY_BYTES
        await self._app(scope, _limited(receive, most), headers.send)

    async def _answer_at_the_door(self, request: Request) -> Response | None:
        """Turn the request away, or write down who it is; None where it may pass."""
        reason = self._foreign(request)
        if reason:
            metrics.refused.labels(reason).inc()
            log.warning("a request was turned away", reason=reason)
            return PlainTextResponse(f"Refused: {reason}.\n", 403)
        cookies = cookies_of(request.headers)
        language = wanted_language(cookies.get(LANGUAGE_COOKIE, ""), request.headers.get("accept-language", ""))
        path = request.url.path
        try:
            async with asyncio.timeout(REDIS_WITHIN_S):
                person = None if path.startswith("/static/") else await self._who(cookies)
        except (TimeoutError, RedisError):
            sentence = Reader(None, language).words["no_redis"]
            return PlainTextResponse(sentence, 503, {"Retry-After": "3"})
        sees_tabs = person is not None and self._passwords.sees_tabs(person.role)
        reader = Reader(person, language, sees_tabs)
        request.state.reader = reader
        request.state.token = cookies.get(SESSION_COOKIE, "")
        request.state.address = request.client.host if request.client else ""
        if path.startswith(OPEN_TO_ALL):
            return None
        if person is None:
            return _to_the_entry(request)
        if _is_tab(path) and not sees_tabs:
            metrics.refused.labels("operators only").inc()
            page = self._look.page("said.html", reader, sentence=reader.words["operators_only"], back=path)
            return HTMLResponse(page, 403)
        return None

    async def _who(self, cookies: dict[str, str]) -> Person | None:
        return await self._people.who(cookies.get(SESSION_COOKIE, ""))

    def _foreign(self, request: Request) -> str:
        """Why a request comes from another site; empty where it does not."""
        host = request.headers.get("host", "")
        # Without a password, a page of others whose name is made to point here must not be let in.
        if not self._passwords.are_wanted and not is_loopback(urlsplit(f"//{host}").hostname or ""):
            return "another name than this machine's"
        if request.method in _READING:
            return ""
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return "sent by another site"
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return "sent by another site"
        return ""


class _Headers:
    """Adds the headers that keep strangers' scripts out; a page of Gradio's gets a number for its own scripts."""

    def __init__(self, send: Send, *, for_tab: bool) -> None:
        self._nonce = secrets.token_urlsafe(16) if for_tab else ""
        self._send = HtmlPages(send, self._numbered).send if for_tab else send

    async def send(self, message: Message) -> None:
        """Send it on, with the headers."""
        if message["type"] == "http.response.start":
            MutableHeaders(raw=message["headers"]).update({**_COMMON, "Content-Security-Policy": self._policy()})
        await self._send(message)

    def _numbered(self, page: bytes) -> bytes:
        return _SCRIPT.sub(b'<script nonce="' + self._nonce.encode() + b'"', page)

    def _policy(self) -> str:
        if not self._nonce:
            return f"{_NOTHING_FROM_OUTSIDE}script-src 'self'; style-src 'self'"
        # Gradio's plots make functions of expressions, and its components write styles.
        scripts = f"script-src 'self' 'nonce-{self._nonce}' 'unsafe-eval'; worker-src 'self' blob:"
        return f"{_NOTHING_FROM_OUTSIDE}{scripts}; style-src 'self' 'unsafe-inline'"


def cookies_of(headers: Headers) -> dict[str, str]:
    """The request's cookies; what is no cookie is passed over."""
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(headers.get("cookie", "")).items()}
    except CookieError:
        return {}


def _is_tab(path: str) -> bool:
    return path.strip("/").split("/")[0] in TABS


def _to_the_entry(request: Request) -> Response:
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"/enter?next={quote(request.url.path + query)}", 303)
    return PlainTextResponse("Come in first: /enter\n", 401)


def _limited(receive: Receive, most_bytes: int) -> Receive:
    """The request's body, cut off where it is too much: whoever reads it finds a client that has gone."""
    count = 0

    async def receive_limited() -> MutableMapping[str, Any]:
        nonlocal count
        message = await receive()
        count += len(message.get("body", b""))
        if count > most_bytes:
            metrics.refused.labels("too large").inc()
            return {"type": "http.disconnect"}
        return message

    return receive_limited
