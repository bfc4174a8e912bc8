"""The link to a chat platform as the rest sees it: whether it is up, and when something was heard over it last."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import Gauge

from contract.finding import Finding

STALE_AFTER_S = 90.0
"""A link tells at least every 30 s that it lives: silence for longer means that its watch has died."""

link_up = Gauge("fennel_link_up", "1 while events of the platform can reach us.", ["platform"])
link_seen = Gauge(
    "fennel_link_seen_timestamp_seconds", "When the link was seen alive last, in Unix time.", ["platform"]
)


class Link:
    """One platform's link. Its methods may be called from any thread, as often as one likes."""

    def __init__(self, platform: str) -> None:
        self._platform = platform
        self._state = "connecting"
        self._waits_for_calls = False
        self._seen_s = time.monotonic()
        self.on_up: Callable[[], None] = lambda: None
        """Called each time that it comes up after it was not."""

    def seen(self) -> None:
        """It is up: a frame came, or the platform answered a ping."""
        self._seen_s = time.monotonic()
        was_up = self._state == "up"
        self._set("up", 1)
        if not was_up:
            self.on_up()
        link_seen.labels(self._platform).set_to_current_time()

    def listens(self) -> None:
        """It is up and silent by nature: the platform calls us when there is something."""
        self._waits_for_calls = True
        self.seen()

    def down(self) -> None:
        """Nothing can come over it now."""
        self._waits_for_calls = False
        self._set("down", 0)

    def finding(self) -> Finding:
        """How it stands."""
        subject, cure = "link", f"look at the network, then: fennel doctor {self._platform}"
        seen_s_ago = time.monotonic() - self._seen_s
        if self._state != "up":
            return Finding(subject, False, f"the link to {self._platform} is {self._state}", cure)
        if self._waits_for_calls:
            return Finding(subject, True, f"listening for calls of {self._platform}")
        if seen_s_ago > STALE_AFTER_S:
            return Finding(subject, False, f"nothing was heard over the link for {seen_s_ago:.0f} s", cure)
        return Finding(subject, True, f"the link to {self._platform} is up, seen {seen_s_ago:.0f} s ago")

    def _set(self, state: str, gauge: int) -> None:
        self._state = state
        link_up.labels(self._platform).set(gauge)


_links: dict[str, Link] = {}


def link_of(platform: str) -> Link:
    """The link of this process to the platform; a process serves one, as it has one set of metrics."""
    return _links.setdefault(platform, Link(platform))
