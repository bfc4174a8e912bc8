"""How an event reaches the app: pushed, awaited for 3 s, pushed again later under the same event id."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.fakes.lark.gateway import Gateway
from tests.fakes.server import Fault


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one push: `code` 200 is an acknowledgement; `data` is the handler's own answer, if any."""

    code: int
    data: Any = None


@dataclass(slots=True)
class Delivery:
    """One event on its way; times are monotonic. `outcomes` has one entry for each push."""

    event: dict[str, Any]
    pushed_at_s: list[float] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    acknowledged_at_s: float | None = None
    given_up: bool = False
    data: Any = None

    @property
    def event_id(self) -> str:
        """The id under which every push of this event goes."""
        return str(self.event["header"]["event_id"])

    @property
    def event_type(self) -> str:
        """Such as ``im.message.receive_v1``."""
        return str(self.event["header"]["event_type"])


class Road(Protocol):
    """A way to the app."""

    fault_kind: str

    async def push(self, event: dict[str, Any], fault: Fault | None) -> Answer:
        """Push once and return the answer. Raises ConnectionError when nobody is there; may never return."""


class Deliveries:
    """Every event that the platform has told or tries to tell."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.server = gateway.server
        self.all: list[Delivery] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: list[Delivery] = []

    def send(self, event: dict[str, Any], road: Road) -> Delivery:
        """Start telling the app of an event."""
        delivery = Delivery(event)
        self.all.append(delivery)
        fault = self.server.take_fault(road.fault_kind)
        if fault and fault.name == "out_of_order":
            self._held.append(delivery)
            return delivery
        self._start(delivery, road, fault)
        held, self._held = self._held, []
        for earlier in held:
            self._start(earlier, road, None)
        return delivery

    def unacknowledged(self) -> list[Delivery]:
        """The events that no answer with code 200 has come for in time, up to now."""
        return [delivery for delivery in list(self.all) if delivery.acknowledged_at_s is None]

    def _start(self, delivery: Delivery, road: Road, fault: Fault | None) -> None:
        task = asyncio.get_running_loop().create_task(self._deliver(delivery, road, fault))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, delivery: Delivery, road: Road, fault: Fault | None) -> None:
        for wait_s in (*self.gateway.rules.redelivery_after_s, None):
            delivery.pushed_at_s.append(time.monotonic())
            answer, outcome = await self._push(delivery.event, road, fault)
            delivery.outcomes.append(outcome)
            if answer is not None and answer.code == 200:
                delivery.acknowledged_at_s, delivery.data = time.monotonic(), answer.data
                self.server.note("in", "acknowledged", {"event_id": delivery.event_id, "data": answer.data})
                return
            self.server.note("in", "unacknowledged", {"event_id": delivery.event_id, "outcome": outcome})
            if wait_s is not None:
                await asyncio.sleep(self.server.scaled(wait_s))
            fault = self.server.take_fault(f"{road.fault_kind}.again")
        delivery.given_up = True
        self.server.note("out", "given_up", {"event_id": delivery.event_id})

    async def _push(self, event: dict[str, Any], road: Road, fault: Fault | None) -> tuple[Answer | None, str]:
        try:
            # Not wait_for: in Python 3.11 it may swallow the cancellation that ends the fake.
            async with asyncio.timeout(self.gateway.rules.ack_timeout_s):
                answer = await road.push(event, fault)
        except TimeoutError:
            return None, "timeout"
        except ConnectionError as error:
            return None, str(error) or "no connection"
        return answer, str(answer.code)
