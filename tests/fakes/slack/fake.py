"""The fake Slack as tests use it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from aiohttp import web

from tests.fakes.server import FakeServer
from tests.fakes.slack.arguments import Arguments
from tests.fakes.slack.chat import Chat
from tests.fakes.slack.content import Blocks, buttons, notifies_everyone, shown
from tests.fakes.slack.deliveries import EVENT_FAULTS, Deliveries
from tests.fakes.slack.events import Events
from tests.fakes.slack.happenings import Happenings
from tests.fakes.slack.marks import Marks
from tests.fakes.slack.rates import Rates
from tests.fakes.slack.reading import Reading
from tests.fakes.slack.rules import BOT_SCOPES, SUBSCRIPTIONS, Rules
from tests.fakes.slack.streams import Streams
from tests.fakes.slack.web_api import CALL_FAULTS, Method, WebApi
from tests.fakes.slack.workspace import APP_TOKEN, BOT_TOKEN, BOT_USER, SIGNING_SECRET, Edit, Message, Workspace

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class VisibleMessage:
    """A message as a person sees it, with what they saw before: `edits`, oldest first.

    `text` is the message's own text (a notification's, where there are blocks); `shown` is what stands on the screen.
    `stream_state` is None, streaming, stopped, stopped_by_user, expired, or replaced (edited after its end).
    """

    ts: str
    user: str
    thread_ts: str | None
    text: str
    shown: str
    blocks: Blocks
    buttons: list[str]
    edits: list[Edit]
    edited_mark: bool
    stream_state: str | None
    appends: int
    tasks: list[dict[str, Any]]
    reactions: dict[str, list[str]]
    metadata: dict[str, Any] | None
    notifies_everyone: bool

    @property
    def from_bot(self) -> bool:
        """Whether the app under test wrote it."""
        return self.user == BOT_USER


class FakeSlack(FakeServer):
    """Slack for one team and one app.

    With `events_url`, events go there over HTTP instead of to Socket Mode connections.
    With `enforce_rates` off, calls above a rate are carried out, and still listed by `sends_above_rate`.
    `fail(METHOD, NAME, …)` breaks calls (`CALL_FAULTS`), ``fail("event", NAME, …)`` deliveries (`EVENT_FAULTS`),
    ``fail("link", "refuse", status=403)`` handshakes, ``fail("link", "disabled")`` links; what happens at once is
    injected (`Happenings`).
    """

    def __init__(
        self,
        *,
        time_scale: float = 1.0,
        port: int = 0,
        rules: Rules | None = None,
        scopes: Iterable[str] = BOT_SCOPES,
        subscriptions: Iterable[str] = SUBSCRIPTIONS,
        enforce_rates: bool = True,
        events_url: str | None = None,
    ) -> None:
        super().__init__(time_scale=time_scale, port=port)
        self.rules = rules or Rules()
        self.workspace = Workspace(self.rules, time_scale)
        self.rates = Rates(self.rules, time_scale)
        self.deliveries = Deliveries(self, self.rules)
        self.deliveries.events_url = events_url
        events = Events(self.workspace, self.deliveries, subscriptions)
        self._chat = Chat(self.workspace, events)
        self._streams = Streams(self._chat)
        self._happenings = Happenings(self.workspace, events, self.deliveries, self._streams)
        before = self._happenings.before_call
        self.web_api = WebApi(self, self.workspace, self.rates, self._methods(), before, scopes)
        self.web_api.enforce_rates = enforce_rates

    def _methods(self) -> dict[str, Method]:
        reading, marks = Reading(self.workspace), Marks(self.workspace)
        return {
            "agents.sessions.setStatus": marks.set_session,
            "api.test": reading.api_test,
            "apps.connections.open": self._open_connection,
            "assistant.threads.setStatus": marks.set_status,
            "auth.test": reading.auth_test,
            "chat.appendStream": self._streams.append,
            "chat.delete": self._chat.delete,
            "chat.postMessage": self._chat.post,
            "chat.startStream": self._streams.start,
            "chat.stopStream": self._streams.stop,
            "chat.update": self._chat.update,
            "conversations.history": reading.history,
            "conversations.info": reading.conversation,
            "conversations.list": reading.conversations,
            "conversations.replies": reading.replies,
            "reactions.add": marks.react,
            "reactions.remove": marks.unreact,
            "users.conversations": reading.own_conversations,
            "users.info": reading.user,
        }

    def _open_connection(self, arguments: Arguments) -> dict[str, Any]:
        stale = bool(arguments.values.get("stale_ticket"))
        return {"ok": True, "url": self.deliveries.sockets.new_url(stale=stale)}

    # --- FakeServer

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """The Web API, the Socket Mode link and the response URLs."""
        router.add_route("*", "/api/{method}", self.web_api.handle)
        router.add_get("/link/", self.deliveries.sockets.handle)
        router.add_post("/actions/{team}/{action}", self._response_url)

    async def _response_url(self, request: web.Request) -> web.Response:
        self.note("in", "response_url", await request.json())
        return web.json_response({"ok": True})

    def urls(self) -> dict[str, str]:
        """Fennel's settings for this fake."""
        return {
            "FENNEL_SLACK__API_URL": f"{self.url}/api/",
            "FENNEL_SLACK__BOT_TOKEN": BOT_TOKEN,
            "FENNEL_SLACK__APP_TOKEN": APP_TOKEN,
            "FENNEL_SLACK__SIGNING_SECRET": SIGNING_SECRET,
        }

    def faults_of(self, kind: str) -> tuple[str, ...]:
        """Those of calls, by the method's name, of deliveries (``event``) and of handshakes and links (``link``)."""
        if kind in self.web_api.methods:
            return CALL_FAULTS
        return {"event": EVENT_FAULTS, "link": ("refuse", "disabled")}.get(kind, ())

    async def inject(self, event: dict[str, Any]) -> Any:
        """Let something happen; ``type`` is one of `Happenings.names`. Raises ValueError for another."""
        happen = self._happenings.names.get(str(event.get("type")))
        if happen is None:
            raise ValueError(f"type must be one of {', '.join(self._happenings.names)}, not {event.get('type')!r}")
        return await happen(event)

    def happen(self, type: str, **detail: Any) -> dict[str, Any]:  # noqa: A002 - the name that it has in JSON
        """`inject` from another thread."""
        answer: dict[str, Any] = self.call(self.inject({"type": type, **detail}))
        return answer

    async def eventually(self, look: Callable[[], T], timeout_s: float = 10) -> T:
        """`wait_for` for a test whose own loop must go on, as the client under test runs on it."""
        return await asyncio.to_thread(self.wait_for, look, timeout_s)

    def state(self) -> dict[str, Any]:
        """Messages, connections, deliveries and what should not have been."""
        channels = {
            channel.id: [asdict(self._visible(m)) for m in list(channel.messages.values()) if not m.deleted]
            for channel in list(self.workspace.channels.values())
        }
        return {
            "channels": channels,
            "sockets": [socket.number for socket in list(self.deliveries.sockets.sockets)],
            "deliveries": [delivery.as_json() for delivery in list(self.deliveries.all)],
            "unacked_events": self.unacked_events(),
            "sends_above_rate": self.sends_above_rate(),
        }

    # --- what a test looks at; none of it needs the fake's own thread

    def connected(self) -> int:
        """How many connections would be given an event now."""
        return sum(not socket.draining for socket in list(self.deliveries.sockets.sockets))

    def visible_messages(self, channel: str, thread_ts: str | None = None) -> list[VisibleMessage]:
        """What stands in a channel, or in a thread with its first message, oldest first."""
        place = self.workspace.channel(channel)
        if thread_ts is None:
            chosen = [m for m in list(place.messages.values()) if m.thread_ts is None]
        else:
            root = place.messages.get(thread_ts)
            chosen = [*([root] if root else []), *self.workspace.replies(place, thread_ts)]
        return [self._visible(m) for m in sorted(chosen, key=lambda m: m.ts) if not m.deleted]

    def answers(self, channel: str, thread_ts: str) -> list[VisibleMessage]:
        """What the app under test said in a thread, oldest first."""
        return [message for message in self.visible_messages(channel, thread_ts) if message.from_bot]

    def visible_status(self, channel: str, thread_ts: str) -> str:
        """The status line that stands in a thread now; empty where there is none."""
        status = self.workspace.status(channel, thread_ts)
        return status.text if status else ""

    def unacked_events(self) -> list[dict[str, Any]]:
        """Events that the app has not acknowledged: still waiting, or lost after the last try."""
        events = [delivery for delivery in list(self.deliveries.all) if delivery.kind == "events_api"]
        return [delivery.as_json() for delivery in events if delivery.state != "acked"]

    def sends_above_rate(self) -> list[dict[str, Any]]:
        """Calls above the rate of their method, refused ones included."""
        return list(self.rates.above)

    def _visible(self, message: Message) -> VisibleMessage:
        stream = message.stream
        state = self.workspace.stream_state(message)
        # What was streamed stands above the blocks of its end; an edit with blocks takes the place of both.
        has_text = not message.blocks or state not in (None, "replaced")
        on_screen = "\n".join(filter(None, [message.text if has_text else "", shown(message.blocks)]))
        return VisibleMessage(
            ts=message.ts,
            user=message.user,
            thread_ts=message.thread_ts,
            text=message.text,
            shown=on_screen,
            blocks=message.blocks,
            buttons=[str(element.get("action_id")) for _, element in buttons(message.blocks)],
            edits=list(message.edits),
            edited_mark=message.edited_ts is not None,
            stream_state=state,
            appends=stream.appends if stream else 0,
            tasks=list(stream.tasks.values()) if stream else [],
            reactions=dict(message.reactions),
            metadata=message.metadata,
            notifies_everyone=notifies_everyone(on_screen),
        )
