"""An engine in this process, stepped by hand."""

from __future__ import annotations

import time

from workers.engine.engine import Engine, GenerationEvent, GenerationRequest

WITHIN_S = 60.0

Events = dict[str, list[GenerationEvent]]


def run(engine: Engine, *requests: GenerationRequest) -> Events:
    """Hand over requests and step until nothing is left; the events of each request in order."""
    for one in requests:
        engine.add(one)
    return drain(engine, {})


def drain(engine: Engine, events: Events) -> Events:
    """Step until nothing is left; the events of each request are put behind those that are there."""
    end_s = time.monotonic() + WITHIN_S
    while engine.busy:
        assert time.monotonic() < end_s, "the engine never ends"
        for event in engine.step():
            events.setdefault(event.id, []).append(event)
    return events


def text(events: list[GenerationEvent]) -> str:
    """The words of one answer."""
    return "".join(event.text for event in events)
