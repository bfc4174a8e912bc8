"""Brings events to the app until it acknowledges them: over a socket, or over HTTP where a URL is set."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.fakes.server import FakeServer, Fault
from tests.fakes.slack import webhook
from tests.fakes.slack.rules import Rules
from tests.fakes.slack.socket_mode import Socket, SocketMode
from tests.fakes.slack.workspace import new_uuid

#: What can go wrong with the next attempt to deliver something.
EVENT_FAULTS = (
    "duplicate",  # the same event twice at once
    "two_sockets",  # the same event over two connections
    "held",  # kept back until something else was sent: arrives out of order
    "lost_ack",  # the app's acknowledgement does not arrive
    "disconnect_after",  # with `reason`: the socket's end is announced right after the event
    "close_after",  # with `code`
    "abort_after",
    *webhook.FLAWS,
)


@dataclass(slots=True)
class Attempt:
    """One try; times are monotonic, `acked_s` is None while or if nothing came."""

    at_s: float
    envelope_ids: list[str] = field(default_factory=list)
    sockets: list[int] = field(default_factory=list)
    acked_s: float | None = None
    failure: str | None = None


@dataclass(slots=True)
class Delivery:
    """An event or interaction on its way; `state` is waiting, acked or lost (given up after the last try)."""

    kind: str
    payload: dict[str, Any]
    attempts: list[Attempt] = field(default_factory=list)
    state: str = "waiting"

    @property
    def event_id(self) -> str | None:
        """Slack's id of the event, the same over all tries."""
        return self.payload.get("event_id")

    def as_json(self) -> dict[str, Any]:
        """For the control interface."""
        return {
            "kind": self.kind,
            "event_id": self.event_id,
            "event": self.payload.get("event", {}),
            "state": self.state,
            "attempts": [asdict(attempt) for attempt in self.attempts],
        }


class Deliveries:
    """Everything that was ever to be delivered, in order."""

    def __init__(self, server: FakeServer, rules: Rules) -> None:
        self.server = server
        self.rules = rules
        self.sockets = SocketMode(server, rules, self._acknowledge)
        self.events_url: str | None = None
        self.all: list[Delivery] = []
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self._held: list[asyncio.Event] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def publish(self, kind: str, payload: dict[str, Any]) -> Delivery:
        """Begin to deliver; `kind` is events_api or interactive."""
        delivery = Delivery(kind, payload)
        self.all.append(delivery)
        task = asyncio.create_task(self._deliver(delivery))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return delivery

    async def _deliver(self, delivery: Delivery) -> None:
        """Try, and try again as the schedule says; interactions are tried once, as a person sees them fail."""
        waits_s = (0.0, *self.rules.retry_delays_s) if delivery.kind == "events_api" else (0.0,)
        for number, wait_s in enumerate(waits_s):
            await asyncio.sleep(self.server.scaled(wait_s))
            fault = self.server.take_fault("event")
            if fault and fault.name == "held":
                await self._hold()
            over = self._over_http if self.events_url else self._over_socket
            if await over(delivery, number, fault):
                break
        if delivery.state == "waiting":
            delivery.state = "lost"
        self.server.note("out", f"delivery.{delivery.state}", {"event_id": delivery.event_id})

    async def _hold(self) -> None:
        gate = asyncio.Event()
        self._held.append(gate)
        await gate.wait()

    def _release(self) -> None:
        for gate in self._held:
            gate.set()
        self._held.clear()

    # --- over a socket

    async def _over_socket(self, delivery: Delivery, number: int, fault: Fault | None) -> bool:
        name = fault.name if fault else ""
        attempt = Attempt(time.monotonic())
        delivery.attempts.append(attempt)
        targets = self.sockets.pick(2 if name == "two_sockets" else 1)
        if name == "duplicate":
            targets = targets * 2
        if not targets:
            attempt.failure = "no connection"
            return False
        acknowledged: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        for socket in targets:
            await self._send(delivery, number, attempt, socket, None if name == "lost_ack" else acknowledged)
        self._release()
        if fault and name.endswith("_after"):
            await self.sockets.disrupt(name.removesuffix("_after"), fault.detail, targets[0])
        return await self._wait(delivery, attempt, acknowledged)

    async def _send(
        self, delivery: Delivery, number: int, attempt: Attempt, socket: Socket, future: asyncio.Future[Any] | None
    ) -> None:
        envelope: dict[str, Any] = {"envelope_id": new_uuid(), "type": delivery.kind, "payload": delivery.payload}
        if delivery.kind == "events_api":
            reason = "timeout" if number else ""
            envelope.update(accepts_response_payload=False, retry_attempt=number, retry_reason=reason)
        else:
            envelope["accepts_response_payload"] = True
        attempt.envelope_ids.append(envelope["envelope_id"])
        attempt.sockets.append(socket.number)
        if future:
            self._waiting[envelope["envelope_id"]] = future
        await self.sockets.send(socket, envelope)

    async def _wait(self, delivery: Delivery, attempt: Attempt, acknowledged: asyncio.Future[Any]) -> bool:
        try:
            await asyncio.wait_for(acknowledged, self.rules.ack_timeout_s)
        except TimeoutError:
            attempt.failure = "timeout"
            return False
        finally:
            for envelope_id in attempt.envelope_ids:
                self._waiting.pop(envelope_id, None)
        attempt.acked_s = time.monotonic()
        delivery.state = "acked"
        return True

    def _acknowledge(self, frame: dict[str, Any], socket: Socket) -> None:
        """Take an acknowledgement on any socket; one that nobody waits for any more is late and changes nothing."""
        waiting = self._waiting.get(str(frame.get("envelope_id")))
        if waiting is None:
            self.server.note("in", "ack.late", {"socket": socket.number, **frame})
        elif not waiting.done():
            waiting.set_result(frame.get("payload"))

    # --- over HTTP

    async def _over_http(self, delivery: Delivery, number: int, fault: Fault | None) -> bool:
        assert self.events_url
        last = delivery.attempts[-1].failure if delivery.attempts else None
        attempt = Attempt(time.monotonic())
        delivery.attempts.append(attempt)
        answer = await self.post(
            self.events_url,
            delivery.payload,
            retry=(number, str(last)) if number else None,
            flaw=fault.name if fault and fault.name in webhook.FLAWS else None,
        )
        self._release()
        attempt.failure = answer.reason
        if answer.reason is None:
            attempt.acked_s = time.monotonic()
            delivery.state = "acked"
        return answer.reason is None or answer.no_retry

    async def post(
        self, url: str, payload: dict[str, Any] | str, *, retry: tuple[int, str] | None = None, flaw: str | None = None
    ) -> webhook.Answer:
        """Deliver one payload over HTTP once, and write request and answer down."""
        self.server.note("out", "http", {"url": url, "retry": retry, "flaw": flaw, "payload": payload})
        answer = await webhook.post(url, payload, timeout_s=self.rules.ack_timeout_s, retry=retry, flaw=flaw)
        self.server.note("in", "http", asdict(answer))
        return answer
