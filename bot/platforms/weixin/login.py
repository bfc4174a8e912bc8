"""Logging in to WeChat: a code in the terminal, scanned and confirmed with a phone."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TextIO

import segno
import structlog

from bot.platform import LinkDeadError, SendAmbiguousError, SendLaterError
from bot.platforms.weixin.api import BOT_TYPE, LONG_POLL_MARGIN_S, LONG_POLL_S, ILinkApi, ret_of, trusted
from bot.platforms.weixin.session import Session
from contract.errors import FennelError

CODES = 3
"""Codes that are shown before nobody seems to be there; each lives about five minutes."""
LOGIN_WITHIN_S = 480.0
ASK_AGAIN_S = 1.0

log = structlog.get_logger(__name__)

Ask = Callable[[str], Awaitable[str]]
"""Asks whoever sits at the terminal for a line."""


class Login:
    """One login at the terminal: `out` shows the code, `ask` gets the digits that a phone may show."""

    def __init__(self, base_url: str, out: TextIO, ask: Ask, ask_again_s: float = ASK_AGAIN_S) -> None:
        self._base_url = base_url
        self._out = out
        self._ask = ask
        self._ask_again_s = ask_again_s

    async def run(self) -> Session:
        """Show codes until one is confirmed. Raises LinkDeadError where none is."""
        end_s = time.monotonic() + LOGIN_WITHIN_S
        for _ in range(CODES):
            session = await self._try_one_code(end_s)
            if session is not None:
                return session
            self._say("That code is not valid any more; here is a new one.")
        raise LinkDeadError("nobody confirmed the login to WeChat: run `python -m bot weixin` again")

    async def _try_one_code(self, end_s: float) -> Session | None:
        """Show one code and wait for what becomes of it; None where it expired."""
        code = await self._new_code()
        api, digits, told_scanned = ILinkApi(self._base_url), "", False
        try:
            while time.monotonic() < end_s:
                status, answer = await self._status(api, code, digits)
                match status:
                    case "confirmed":
                        return self._session(answer)
                    case "expired" | "verify_code_blocked":
                        return None
                    case "need_verifycode":
                        digits = await self._ask("Enter the digits that your phone shows: ")
                        continue
                    case "binded_redirect":
                        raise LinkDeadError("this WeChat account is bound to another bot: unbind it on the phone first")
                    case "scaned_but_redirect":
                        host = str(answer.get("redirect_host", ""))
                        await api.close()
                        scheme = self._base_url.partition("://")[0]
                        api = ILinkApi(trusted(f"{scheme}://{host}", self._base_url))
                    case "scaned" if not told_scanned:
                        told_scanned = True
                        self._say("Scanned. Confirm it on the phone.")
                await asyncio.sleep(self._ask_again_s)
        finally:
            await api.close()
        raise LinkDeadError("nobody confirmed the login to WeChat in time: run `python -m bot weixin` again")

    async def _new_code(self) -> str:
        api = ILinkApi(self._base_url)
        try:
            answer = await api.post(f"get_bot_qrcode?bot_type={BOT_TYPE}", {"local_token_list": []})
        except FennelError as error:
            raise LinkDeadError(f"WeChat gives no code to log in with: {error}") from error
        finally:
            await api.close()
        code, link = answer.get("qrcode"), answer.get("qrcode_img_content")
        if not (isinstance(code, str) and isinstance(link, str) and code and link):
            raise LinkDeadError(f"WeChat gives no code to log in with (ret {ret_of(answer)})")
        self._say("Scan this with WeChat on your phone, and confirm:")
        segno.make(link, error="l").terminal(out=self._out, border=2, compact=True)
        self._say(f"Or open {link}")
        return code

    async def _status(self, api: ILinkApi, code: str, digits: str) -> tuple[str, dict[str, object]]:
        query = {"qrcode": code} | ({"verify_code": digits} if digits else {})
        try:
            answer = await api.get("get_qrcode_status", query, LONG_POLL_S + LONG_POLL_MARGIN_S)
        except (SendLaterError, SendAmbiguousError) as error:
            log.warning("what became of the code cannot be asked now", error=str(error))
            return "wait", {}
        return str(answer.get("status", "wait")), answer

    def _session(self, answer: dict[str, object]) -> Session:
        token, bot_id = answer.get("bot_token"), answer.get("ilink_bot_id")
        if not (isinstance(token, str) and isinstance(bot_id, str) and token and bot_id):
            raise LinkDeadError("WeChat confirmed the login and gave no token")
        base_url = trusted(str(answer.get("baseurl") or self._base_url), self._base_url)
        self._say("Logged in. Write to the bot in WeChat.")
        return Session(token, bot_id, base_url)

    def _say(self, sentence: str) -> None:
        print(sentence, file=self._out, flush=True)


async def ask_at_terminal(prompt: str) -> str:
    """Ask for a line without holding anything else up, and without a thread that nobody can stop."""
    print(prompt, end="", flush=True)
    loop = asyncio.get_running_loop()
    line: asyncio.Future[str] = loop.create_future()

    def read() -> None:
        if not line.done():
            line.set_result(sys.stdin.readline())

    loop.add_reader(sys.stdin, read)
    try:
        return (await line).strip()
    finally:
        loop.remove_reader(sys.stdin)
