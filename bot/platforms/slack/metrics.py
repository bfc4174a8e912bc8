"""What the Slack link counts."""

from __future__ import annotations

from prometheus_client import Counter

links_renewed = Counter("fennel_slack_links_renewed_total", "Times that a dead link was given a new URL.")
calls = Counter("fennel_slack_calls_total", "Web API calls, by method and what came of them.", ["method", "result"])
missed = Counter("fennel_slack_messages_read_back_total", "Messages read back that may have come while away.")
