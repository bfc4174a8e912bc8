"""What the web page counts."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

pages_open = Gauge("fennel_web_pages_open", "Pages of rooms that are open in a browser now.")
wrong_passwords = Counter("fennel_web_wrong_passwords", "Wrong passwords at the web page.")
refused = Counter("fennel_web_refused", "Requests to the web page that were turned away, by reason.", ["reason"])
