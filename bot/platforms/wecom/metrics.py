"""What the link to WeCom counts."""

from __future__ import annotations

from prometheus_client import Counter

link_gaps = Counter(
    "fennel_link_gaps_seconds",
    "Seconds without a link, over restarts too; WeCom loses what is written meanwhile.",
    ["platform"],
)
reconnects = Counter("fennel_link_reconnects", "Links that came after the first one.", ["platform"])
events_lost = Counter("fennel_events_lost", "Events that arrived and could not be kept.", ["platform"])
rate_waits = Counter(
    "fennel_rate_waits", "What had to wait for the platform's rate: a start, a refresh or an end.", ["platform", "what"]
)
sent_again = Counter("fennel_sent_again", "Messages marked as perhaps sent a second time.", ["platform"])
callbacks_refused = Counter("fennel_callbacks_refused", "Calls that were not WeCom's, by status.", ["status"])
