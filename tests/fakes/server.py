"""What every fake platform is made of: a real HTTP and WebSocket server in a thread of its own.

A fake runs on its own event loop in its own thread, because the clients that talk to it may block theirs.
It binds the loopback address only, on a port that the system chooses.
Everything that crosses the wire is kept in a journal with monotonic times, and faults are switched on and off
from outside, by method call in the same process or over ``/_control/…`` from another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

from aiohttp import web

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One frame or call that crossed the wire; `at_s` is monotonic and unscaled."""

    at_s: float
    direction: str  # "in": from the client, "out": to the client
    kind: str  # the method's or frame's name
    payload: Any


@dataclass(slots=True)
class Fault:
    """Something that goes wrong for the next `times` calls of `kind`; `detail` is the fault's own."""

    kind: str
    name: str
    times: int = 1
    detail: dict[str, Any] = field(default_factory=dict)


class FakeServer:
    """Base of the fake platforms. A fake adds its routes in `add_routes` and its own state and rules.

    `time_scale` shrinks the platform's own clocks: a limit of 300 s lasts ``300 * time_scale`` seconds.
    """

    host = "127.0.0.1"
    """Where it listens: this machine alone, unless a test makes more of them."""

    def __init__(self, *, time_scale: float = 1.0, port: int = 0) -> None:
        self.time_scale = time_scale
        self.port = port
        self.journal: list[JournalEntry] = []
        self.faults: list[Fault] = []
        self._changed = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._runner: web.AppRunner | None = None

    # --- what a fake overrides

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the platform's own routes."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """What a test may want to look at, as JSON."""
        raise NotImplementedError

    def faults_of(self, kind: str) -> Sequence[str]:
        """The names of what can go wrong with calls of this kind; none where it has no such calls."""
        raise NotImplementedError

    async def inject(self, event: dict[str, Any]) -> Any:
        """Let something happen on the platform, as if a person had done it."""
        raise NotImplementedError

    def urls(self) -> dict[str, str]:
        """The settings that point a client here, by name."""
        return {"url": self.url}

    # --- life

    @property
    def url(self) -> str:
        """``http://HOST:PORT`` without a slash at the end."""
        return f"http://{self.host}:{self.port}"

    def scaled(self, platform_s: float) -> float:
        """How long `platform_s` seconds of the platform's own clock last here, in seconds."""
        return platform_s * self.time_scale

    def start(self) -> Self:
        """Listen; returns when the port is open."""
        ready = threading.Event()
        failure: list[BaseException] = []

        def serve() -> None:
            loop = asyncio.new_event_loop()
            self._loop = loop
            try:
                loop.run_until_complete(self._open())
            except BaseException as error:
                failure.append(error)
                ready.set()
                return
            ready.set()
            loop.run_forever()
            loop.run_until_complete(self._close())
            loop.close()

        self._thread = threading.Thread(target=serve, name=type(self).__name__, daemon=True)
        self._thread.start()
        ready.wait()
        if failure:
            raise failure[0]
        return self

    def stop(self) -> None:
        """Close every connection and the port."""
        if self._loop and self._thread and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=10)
            if self._thread.is_alive():
                raise RuntimeError(f"{type(self).__name__} did not stop within 10 s")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def call(self, work: Coroutine[Any, Any, T], timeout_s: float = 30) -> T:
        """Run a coroutine on the fake's loop from another thread and return its result."""
        assert self._loop is not None, "start() first"
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    # --- journal and faults

    def note(self, direction: str, kind: str, payload: Any) -> None:
        """Write a line into the journal and wake whoever waits for one."""
        with self._changed:
            self.journal.append(JournalEntry(time.monotonic(), direction, kind, payload))
            self._changed.notify_all()

    def wait_for(self, look: Callable[[], T], timeout_s: float = 10) -> T:
        """Return what `look()` gives as soon as it is true; it is asked after each line of the journal.

        Raises TimeoutError with the journal's last lines, so that a failing test tells what did happen.
        """
        end = time.monotonic() + timeout_s
        with self._changed:
            while not (found := look()):
                left_s = end - time.monotonic()
                if left_s <= 0:
                    end_of_journal = (
                        f"  {line.direction} {line.kind} {line.payload!r}"[:300] for line in self.journal[-15:]
                    )
                    last = "\n".join(end_of_journal)
                    raise TimeoutError(f"nothing like that within {timeout_s} s; the journal's end:\n{last}")
                self._changed.wait(min(left_s, 0.05))
            return found

    def fail(self, kind: str, name: str, times: int = 1, **detail: Any) -> Fault:
        """Switch a fault on for the next `times` calls of `kind`. Raises ValueError for one that it does not have."""
        known = self.faults_of(kind)
        if name not in known:
            raise ValueError(f"{kind!r} has no fault {name!r}; it has {', '.join(known) or 'none'}")
        fault = Fault(kind, name, times, detail)
        self.faults.append(fault)
        return fault

    def take_fault(self, kind: str) -> Fault | None:
        """The fault that the call of `kind` now under way has to show, if any; counts it down."""
        for fault in self.faults:
            if fault.kind == kind and fault.times > 0:
                fault.times -= 1
                return fault
        return None

    # --- control over HTTP

    async def _open(self) -> None:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_post("/_control/inject", self._control(self.inject))
        app.router.add_post("/_control/fault", self._control(self._control_fault))
        app.router.add_get("/_control/state", self._control(self._control_state))
        app.router.add_get("/_control/journal", self._control(self._control_journal))
        self.add_routes(app.router)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _close(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if self._runner:
            await self._runner.cleanup()

    def _control(
        self, act: Callable[[dict[str, Any]], Awaitable[Any]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            body = await request.json() if request.can_read_body else {}
            try:
                answer = await act(body)
            except (KeyError, ValueError) as error:
                return web.json_response({"error": f"{type(error).__name__}: {error}"}, status=400)
            return web.json_response(answer, dumps=lambda value: json.dumps(value, default=str))

        return handle

    async def _control_fault(self, body: dict[str, Any]) -> Any:
        fault = self.fail(body["kind"], body["name"], body.get("times", 1), **body.get("detail", {}))
        return asdict(fault)

    async def _control_state(self, body: dict[str, Any]) -> Any:
        return self.state()

    async def _control_journal(self, body: dict[str, Any]) -> Any:
        return [asdict(entry) for entry in self.journal]


def run_alone(server: FakeServer) -> None:
    """Serve until interrupted, after printing the settings that point a client here, one ``NAME=VALUE`` a line."""
    with server:
        for name, value in server.urls().items():
            print(f"{name}={value}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
