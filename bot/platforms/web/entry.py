"""Coming in with a name and a password, choosing a language, leaving."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from bot.platforms.web.door import LANGUAGE_COOKIE, PERSON_COOKIE, SESSION_COOKIE, cookies_of
from bot.platforms.web.look import Look, Reader
from bot.platforms.web.passwords import Passwords, TooManyGuessesError
from bot.platforms.web.people import SESSION_S, People, new_key, shown_name
from bot.platforms.web.words import LANGUAGES

YEAR_S = 365 * 86_400
_SEE_OTHER = 303


class Entry:
    """The pages that somebody sees who has not come in."""

    def __init__(self, look: Look, people: People, passwords: Passwords) -> None:
        self._look = look
        self._people = people
        self._passwords = passwords
        self.routes = [
            Route("/enter", self._ask, methods=["GET"]),
            Route("/enter", self._come_in, methods=["POST"]),
            Route("/leave", self._leave, methods=["POST"]),
            Route("/favicon.ico", _icon, methods=["GET"]),
            Route("/language/{language}", self._choose, methods=["GET"]),
        ]

    async def _ask(self, request: Request) -> Response:
        return self._form(request, _local(request.query_params.get("next", "/")))

    async def _come_in(self, request: Request) -> Response:
        form, reader = await request.form(), _reader(request)
        name, password = shown_name(str(form.get("name", ""))), str(form.get("password", ""))
        onward = _local(str(form.get("next", "/")))
        if not name:
            return self._form(request, onward, reader.words["wrong_name"], status=400)
        try:
            role = await self._passwords.role_of(password, request.state.address)
        except TooManyGuessesError as error:
            sentence = reader.words["wrong_too_often"].format(wait=error.wait_s)
            return self._form(request, onward, sentence, name, status=429)
        if role is None:
            return self._form(request, onward, reader.words["wrong_password"], name, status=403)
        key = cookies_of(request.headers).get(PERSON_COOKIE) or new_key()
        token = await self._people.come_in(key, name, role)
        answer = RedirectResponse(onward, _SEE_OTHER)
        _set(request, answer, PERSON_COOKIE, key, YEAR_S)
        _set(request, answer, SESSION_COOKIE, token, SESSION_S)
        return answer

    async def _leave(self, request: Request) -> Response:
        await self._people.leave(cookies_of(request.headers).get(SESSION_COOKIE, ""))
        answer = RedirectResponse("/enter", _SEE_OTHER)
        answer.delete_cookie(SESSION_COOKIE)
        return answer

    async def _choose(self, request: Request) -> Response:
        answer = RedirectResponse(_local(request.query_params.get("back", "/")), _SEE_OTHER)
        if request.path_params["language"] in LANGUAGES:
            _set(request, answer, LANGUAGE_COOKIE, request.path_params["language"], YEAR_S)
        return answer

    def _form(self, request: Request, onward: str, problem: str = "", name: str = "", status: int = 200) -> Response:
        asks = {"asks_password": self._passwords.are_there, "needs_password": self._passwords.are_wanted}
        page = self._look.page(
            "enter.html", _reader(request), next=onward, problem=problem, name=name, back="/enter", **asks
        )
        return HTMLResponse(page, status, {"Cache-Control": "no-store"})


async def _icon(_request: Request) -> Response:
    """Where browsers look for it, whatever a page says."""
    return RedirectResponse("/static/fennel.svg", 301)


def _reader(request: Request) -> Reader:
    reader: Reader = request.state.reader
    return reader


def _local(path: str) -> str:
    """The path where it leads to this page, else the room: nobody is sent on to another site."""
    is_local = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_local else "/"


def _set(request: Request, answer: Response, name: str, value: str, max_age_s: int) -> None:
    secure = request.url.scheme == "https"
    answer.set_cookie(name, value, max_age=max_age_s, httponly=True, samesite="lax", secure=secure)
