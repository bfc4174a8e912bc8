"""WeChat's direct messages over iLink: logged in with a phone, asked by long poll. Experimental.

A message is delivered again until its cursor comes back, so the cursor is stored only when the message is in Redis.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from bot.beside import Beside
from bot.link import link_of
from bot.lock import AccountLock
from bot.phrases import phrase
from bot.platform import LinkDeadError, NotConfiguredError, Platform, PlatformError, Receive, Reply, SendLaterError
from bot.platforms.weixin import metrics
from bot.platforms.weixin.answers import Answers
from bot.platforms.weixin.api import LONG_POLL_MARGIN_S, LONG_POLL_S, OK, ILinkApi, LoginOverError, ret_of
from bot.platforms.weixin.events import PLATFORM, EventError, address_of, id_of, is_for_us, sender_of, to_message
from bot.platforms.weixin.login import Login
from bot.platforms.weixin.records import Records
from bot.platforms.weixin.sentences import TEXT_ONLY
from bot.platforms.weixin.session import Session, SessionFile
from bot.platforms.weixin.typing_sign import AGAIN_S, TypingSign
from bot.waiting import unless_set
from config.redis_address import RedisAddress
from contract.errors import FennelError
from contract.question import Question, question_id

NOT_LOGGED_IN = "weixin is not logged in: run `python -m bot weixin` in a terminal and scan the code with your phone"
LOGIN_OVER = (
    "WeChat has ended this login, as it does after a while or when the phone removes the bot: run "
    "`python -m bot weixin` in a terminal and scan the code again"
)
NOT_YET_S = 1.0
EMPTY_POLL_AT_LEAST_S = 0.2

log = structlog.get_logger(__name__)

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PollTimes:
    """How long to pause after a poll that failed, and how often the typing sign is renewed, in seconds."""

    backoff_first_s: float = 1.0
    backoff_last_s: float = 30.0
    typing_again_s: float = AGAIN_S


@dataclass(frozen=True, slots=True)
class Account:
    """What there is once somebody has logged in."""

    session: Session
    api: ILinkApi
    answers: Answers
    typing: TypingSign


class Weixin(Platform):
    """One WeChat account; `login` is None where no terminal is there to show a code."""

    name = PLATFORM
    # Before the login the account's id is not known, and one home folder holds one login.
    account = "direct"
    thinks_at_once = True
    # A message's client_id is the question's, and the record says the rest: there is nothing to wait for.
    settle_s = 0.0

    def __init__(
        self, sessions: SessionFile, login: Login | None, redis_address: RedisAddress, times: PollTimes | None = None
    ) -> None:
        self._sessions = sessions
        self._login = login
        self._records = Records(redis_address)
        self._times = times or PollTimes()
        self._account: Account | None = None
        self._closed = asyncio.Event()
        self._login_is_over = asyncio.Event()
        self._beside = Beside()

    def hold(self, lock: AccountLock) -> None:
        """Write the records through it."""
        self._records.hold(lock)

    # --- from WeChat

    async def listen(self, receive: Receive) -> None:
        """Log in where that was not done yet, and take messages until closed. Raises LinkDeadError."""
        session = self._sessions.load() or await unless_set(self._log_in(), self._closed, self._login_is_over)
        if session is None:
            return
        api = ILinkApi(session.base_url, session.token)
        answers = Answers(api, session.bot_id, self._records)
        account = self._account = Account(session, api, answers, TypingSign(api, self._times.typing_again_s))
        try:
            await unless_set(_tell_server(api, "notifystart"), self._closed, self._login_is_over)
            await unless_set(self._poll(account, receive), self._closed, self._login_is_over)
        except LoginOverError:
            self._login_is_over.set()
        finally:
            link_of(PLATFORM).down()
        if self._login_is_over.is_set():
            self._sessions.forget()
            raise LinkDeadError(LOGIN_OVER)

    async def _log_in(self) -> Session:
        if self._login is None:
            raise NotConfiguredError(NOT_LOGGED_IN)
        session = await self._login.run()
        self._sessions.save(session)
        return session

    async def _poll(self, account: Account, receive: Receive) -> None:
        cursor = await self._records.cursor(account.session.bot_id)
        timeout_s, backoff_s = LONG_POLL_S, self._times.backoff_first_s
        while True:
            began_s = time.monotonic()
            try:
                body = {"get_updates_buf": cursor}
                answer = await account.api.post("getupdates", body, timeout_s + LONG_POLL_MARGIN_S)
                if ret_of(answer) != OK:
                    raise PlatformError(f"WeChat refuses the poll (ret {ret_of(answer)})")
                link_of(PLATFORM).seen()
                cursor = await self._take_all(account, answer, cursor, receive)
            except LoginOverError:
                raise
            except FennelError as error:
                metrics.polls_failed.inc()
                link_of(PLATFORM).down()
                log.warning("messages cannot be fetched now", error=str(error))
                await asyncio.sleep(backoff_s * random.uniform(0.8, 1.0))
                backoff_s = min(2 * backoff_s, self._times.backoff_last_s)
                continue
            backoff_s = self._times.backoff_first_s
            hinted_ms = answer.get("longpolling_timeout_ms")
            if isinstance(hinted_ms, int) and 0 < hinted_ms < 600_000:
                timeout_s = hinted_ms / 1000
            if not answer.get("msgs") and time.monotonic() - began_s < EMPTY_POLL_AT_LEAST_S:
                # A server that does not hold the poll must not be asked a thousand times a second.
                await asyncio.sleep(EMPTY_POLL_AT_LEAST_S)

    async def _take_all(self, account: Account, answer: Body, cursor: str, receive: Receive) -> str:
        """Take in what a poll brought; the new cursor, once everything before it is in Redis. Raises FennelError."""
        messages = answer.get("msgs")
        for body in messages if isinstance(messages, list) else []:
            if isinstance(body, Mapping) and is_for_us(body):
                await self._take(account, body, receive)
        newer = answer.get("get_updates_buf")
        if not isinstance(newer, str) or not newer or newer == cursor:
            return cursor
        await self._records.keep_cursor(account.session.bot_id, newer)
        return newer

    async def _take(self, account: Account, body: Body, receive: Receive) -> None:
        """Take one message in. Raises FennelError where it is not in Redis; it is then delivered again."""
        bot_id = account.session.bot_id
        try:
            message = to_message(body, bot_id)
            await account.answers.wrote(sender_of(body))
        except EventError as error:
            log.warning("a message cannot be read", error=str(error))
            return
        if message is None:
            stands_for = question_id(PLATFORM, bot_id, sender_of(body), id_of(body))
            self._beside.start(account.answers.tell(stands_for, sender_of(body), address_of(body), TEXT_ONLY))
            return
        try:
            await receive(message)
        except FennelError:
            raise
        except Exception:
            # It would come again for ever, and hold up everybody's messages.
            log.exception("a message cannot be taken in")
            metrics.messages_lost.inc()

    # --- to WeChat

    async def send(self, reply: Reply) -> str:
        """Show the reply as far as WeChat can: while it grows, that we are typing; its end as messages."""
        await self.edit(reply.question.id, reply)
        return reply.question.id

    async def edit(self, sent_id: str, reply: Reply) -> None:  # noqa: ARG002 -- the question names the messages
        """Renew the typing sign, or show the end. What was shown before stays as it is."""
        account = self._account
        if account is None or self._login_is_over.is_set():
            raise SendLaterError("not logged in to WeChat", NOT_YET_S)
        try:
            if reply.outcome is not None:
                await account.answers.end(reply)
                account.typing.gone(reply.question)
            elif reply.is_notice and not _is_thinking(reply):
                question = reply.question
                await account.answers.tell(question.id, question.channel, question.address, reply.text)
                account.typing.gone(question)
            else:
                await account.typing.show(reply.question)
        except LoginOverError as error:
            self._login_is_over.set()
            raise SendLaterError(str(error), NOT_YET_S) from error

    async def show_status(self, reply: Reply) -> float | None:
        """That we think is a sign in WeChat, and no message; that the question is queued has to be one."""
        if not _is_thinking(reply):
            return None
        if self._account is not None:
            await self._account.typing.show(reply.question)
        return self._times.typing_again_s

    async def find(self, question: Question) -> str | None:  # noqa: ARG002 -- there is nothing to look at
        """WeChat shows a bot no chat; the record says what a second try has to look like."""
        return None

    async def close(self) -> None:
        """Take no more messages, and give everything back."""
        self._closed.set()
        await self._beside.close()
        account, self._account = self._account, None
        if account is not None:
            await _tell_server(account.api, "notifystop")
            await account.api.close()
        await self._records.close()


def _is_thinking(reply: Reply) -> bool:
    return reply.is_notice and reply.text == phrase(reply.question.language, "thinking")


async def _tell_server(api: ILinkApi, what: str) -> None:
    """A courtesy of the protocol: that a bot starts, or stops. Nothing hangs on it."""
    try:
        await api.post(f"msg/{what}", {}, timeout_s=2.0)
    except PlatformError as error:
        log.debug("WeChat was not told", what=what, error=str(error))
