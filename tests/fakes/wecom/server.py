"""The fake WeCom as one server: what a test calls, and what ``/_control/…`` offers to another process."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from aiohttp import web

from tests.fakes.server import FakeServer
from tests.fakes.wecom.board import Board, ShownMessage, Violation
from tests.fakes.wecom.callback import Callback
from tests.fakes.wecom.clock import Clock
from tests.fakes.wecom.faults import FAULTS
from tests.fakes.wecom.ilink import ILink
from tests.fakes.wecom.long_link import LongLink
from tests.fakes.wecom.rules import OpenPoints
from tests.fakes.wecom.world import Account, World


class FakeWeCom(FakeServer):
    """One bot's WeCom, and the iLink of one WeChat account.

    Messages go down the long connection, or to the callback address once `use_callback` has verified one.

    What can go wrong stands in `FAULTS`. Uploads of media are not offered.
    """

    def __init__(
        self,
        *,
        time_scale: float = 1.0,
        port: int = 0,
        account: Account | None = None,
        points: OpenPoints | None = None,
    ) -> None:
        super().__init__(time_scale=time_scale, port=port)
        self.clock = Clock(time_scale)
        self.account = account or Account()
        self.points = points or OpenPoints()
        self.board = Board(self.clock, self.points)
        self.world = World(self, self.clock, self.board, self.account, self.points)
        self.long_link = LongLink(self.world)
        self.callback = Callback(self.world)
        self.ilink = ILink(self.world)

    # --- what a test does

    def say(self, text: str, **event: Any) -> dict[str, Any]:
        """Somebody asks the bot something; see `inject` for what else may be given. Blocks until it is delivered."""
        return self.call(self.inject({"text": text, **event}))

    def do(self, act: str, **event: Any) -> Any:
        """Let one of the things of `inject` happen."""
        return self.call(self.inject({"type": act, **event}))

    async def inject(self, event: dict[str, Any]) -> Any:
        """Let something happen, by ``type``.

        ``message`` (the default): msgtype, text, user, chatid, chattype, quote, mention, bytes (base64), msgid,
        create_time. ``event``: eventtype, detail, user, chatid. ``close`` (code), ``abort``, ``kick`` (a second
        instance takes the link), ``rotate_secret``, ``skip`` (seconds of the platform's clock), ``use_callback``
        (url), ``use_link``, ``weixin`` (user, text, msgtype: a direct message over iLink), ``scan`` (status, digits),
        ``expire_token``.
        """
        acts: dict[str, Callable[[dict[str, Any]], Awaitable[Any]]] = {
            "message": self._message,
            "event": self._event,
            "close": lambda given: self.long_link.close(given.get("code", 1000)),
            "abort": self._abort,
            "kick": lambda given: self.long_link.kick(),
            "rotate_secret": self._rotate_secret,
            "skip": self._skip,
            "use_callback": lambda given: self.callback.verify(given["url"]),
            "use_link": self._use_link,
            "weixin": self._weixin,
            "scan": self._scan,
            "expire_token": self._expire_token,
        }
        return await acts[event.get("type", "message")](event)

    def wait_until_subscribed(self, timeout_s: float = 10) -> None:
        """Return as soon as a bot is subscribed over the long connection."""
        self.wait_for(lambda: self.long_link.live, timeout_s)

    # --- what a test looks at

    def visible_messages(self, chatid: str) -> list[ShownMessage]:
        """The conversation as a person sees it: people's and the bot's bubbles with their present texts.

        A single chat's id is the person's id.
        """
        return self.board.visible(chatid)

    def bot_messages(self, chatid: str) -> list[ShownMessage]:
        """The bot's part of `visible_messages`."""
        return [shown for shown in self.board.visible(chatid) if shown.author == "bot"]

    def replies_to(self, msgid: str) -> list[ShownMessage]:
        """The visible bubbles that answer that message; what is pushed answers nothing in particular."""
        return [shown for shown in self.board.by_bot() if shown.in_reply_to == msgid]

    def sends_above_rate(self) -> list[Violation]:
        """Sends that were refused for being more than 30 in a minute or 1,000 in an hour in their conversation."""
        return self.violations("send_rate")

    def lost_messages(self) -> list[dict[str, Any]]:
        """Bodies that never reached the bot, and that the platform does not send again."""
        return [*self.long_link.lost, *self.callback.unheard]

    def unfinished_streams(self) -> list[ShownMessage]:
        """Streams that people see as still being written."""
        return [shown for shown in self.board.by_bot() if not shown.finished]

    def violations(self, rule: str | None = None) -> list[Violation]:
        """The rules that the client broke, all or one."""
        return [violation for violation in self.board.violations if rule in (None, violation.rule)]

    def state(self) -> dict[str, Any]:
        """Everything of the above, as JSON."""
        return self.board.as_state() | {
            "subscribed": self.long_link.live is not None,
            "connections": len(self.long_link.links),
            "callback_url": self.callback.url,
            "lost_messages": self.lost_messages(),
            "unfinished_streams": [shown.stream_id for shown in self.unfinished_streams()],
            "ilink": {"token": self.ilink.token, "unacknowledged": len(self.ilink.unacknowledged())},
            "faults": [asdict(fault) for fault in self.faults if fault.times > 0],
        }

    def urls(self) -> dict[str, str]:
        """The settings of a Fennel that talks to this fake."""
        return {
            "FENNEL_WECOM__WS_URL": f"ws://127.0.0.1:{self.port}/",
            "FENNEL_WECOM__BOT_ID": self.account.bot_id,
            "FENNEL_WECOM__SECRET": self.account.secret,
            "FENNEL_WECOM__TOKEN": self.account.token,
            "FENNEL_WECOM__AES_KEY": self.account.aes_key,
            "FENNEL_WEIXIN__BASE_URL": self.url,
        }

    # --- server

    def faults_of(self, kind: str) -> tuple[str, ...]:
        """Those of `FAULTS`."""
        return FAULTS.get(kind, ())

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """The long connection at ``/``, response URLs, downloads, and iLink."""
        router.add_get("/", self.long_link.handle)
        router.add_post("/cgi-bin/aibot/response", self.callback.respond)
        router.add_get("/media/{name}", self._download)
        self.ilink.add_routes(router)

    async def _close(self) -> None:
        await self.callback.close()
        await super()._close()

    async def _download(self, request: web.Request) -> web.Response:
        expires_at_s, content = self.world.media.get(request.match_info["name"], (0.0, b""))
        if self.clock.now_s() > expires_at_s:
            return web.Response(status=404)
        headers = {"Content-Disposition": 'attachment; filename="image.png"'}
        return web.Response(body=content, headers=headers, content_type="application/octet-stream")

    # --- injections

    async def _message(self, event: dict[str, Any]) -> dict[str, Any]:
        by_callback = bool(self.callback.url)
        body = self.world.new_message(event, media_with_own_key=not by_callback)
        if not self.world.reaches_bot(body):
            return {"msgid": body["msgid"], "delivered": False}
        if by_callback:
            return await self.callback.push(body)
        return await self.long_link.push("aibot_msg_callback", body)

    async def _event(self, event: dict[str, Any]) -> dict[str, Any]:
        body = self.world.new_event(event)
        if self.callback.url:
            return await self.callback.push(body)
        return await self.long_link.push("aibot_event_callback", body)

    async def _abort(self, event: dict[str, Any]) -> None:
        self.long_link.abort()

    async def _rotate_secret(self, event: dict[str, Any]) -> None:
        """A new secret: the old one opens no connection any more, and the one that is open is closed."""
        self.account.secret = event.get("secret") or f"rotated{time.monotonic_ns()}"
        await self.long_link.close()

    async def _skip(self, event: dict[str, Any]) -> None:
        self.clock.skip(event["seconds"])
        self.ilink.wake()
        await asyncio.sleep(0)

    async def _use_link(self, event: dict[str, Any]) -> None:
        self.callback.url = ""

    async def _weixin(self, event: dict[str, Any]) -> dict[str, Any]:
        return self.ilink.write(event)

    async def _scan(self, event: dict[str, Any]) -> str:
        return self.ilink.scan(event.get("status", "confirmed"), event.get("digits", ""))

    async def _expire_token(self, event: dict[str, Any]) -> None:
        self.ilink.expire_token()
