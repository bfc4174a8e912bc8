"""What the Lark platform counts beyond what every bot does."""

from __future__ import annotations

from prometheus_client import Counter

events = Counter("fennel_lark_events_total", "Events received, by type and what became of them.", ["type", "what"])
link_rebuilds = Counter(
    "fennel_lark_link_rebuilds_total", "Times the long connection was built anew, by reason.", ["reason"]
)
fallbacks = Counter("fennel_lark_fallbacks_total", "Answers shown in a simpler form than a streaming card.", ["form"])
webhooks_refused = Counter("fennel_lark_webhooks_refused_total", "Webhook requests refused, by reason.", ["reason"])
