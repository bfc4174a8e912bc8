"""Slack's side of HTTP delivery: signed requests to the app's own server."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import urllib.parse
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.fakes.slack.workspace import SIGNING_SECRET

#: Ways in which a request can be one that the app must refuse.
FLAWS = ("bad_signature", "stale", "unsigned")
STALE_BY_S = 301  # an app must refuse what is older than five minutes


@dataclass(frozen=True, slots=True)
class Answer:
    """What the app's server said; `reason` is Slack's word for why the delivery failed, None when it did not."""

    status: int | None
    body: str
    headers: dict[str, str]
    reason: str | None

    @property
    def no_retry(self) -> bool:
        """Whether the app asked for no further try."""
        return self.headers.get("x-slack-no-retry") == "1"


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """The value of ``X-Slack-Signature``."""
    return "v0=" + hmac.new(secret.encode(), f"v0:{timestamp}:".encode() + body, hashlib.sha256).hexdigest()


def signed_headers(body: bytes, flaw: str | None) -> dict[str, str]:
    """The signature's headers, wrong in the way that `flaw` names."""
    timestamp = str(int(time.time()) - (STALE_BY_S if flaw == "stale" else 0))
    if flaw == "unsigned":
        return {"X-Slack-Request-Timestamp": timestamp}
    secret = "not-the-secret" if flaw == "bad_signature" else SIGNING_SECRET
    return {"X-Slack-Request-Timestamp": timestamp, "X-Slack-Signature": sign(secret, timestamp, body)}


async def post(
    url: str,
    payload: dict[str, Any] | str,
    *,
    timeout_s: float,
    retry: tuple[int, str] | None = None,
    flaw: str | None = None,
) -> Answer:
    """Deliver one payload: events as JSON, interactions as a form, text as it is.

    `retry` is the try's number and reason.
    """
    if isinstance(payload, str):
        body, content_type = payload.encode(), "json"
    elif payload.get("type") == "block_actions":
        body, content_type = urllib.parse.urlencode({"payload": json.dumps(payload)}).encode(), "x-www-form-urlencoded"
    else:
        body, content_type = json.dumps(payload).encode(), "json"
    headers = {"Content-Type": f"application/{content_type}", **signed_headers(body, flaw)}
    if retry:
        headers.update({"X-Slack-Retry-Num": str(retry[0]), "X-Slack-Retry-Reason": retry[1]})
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url, data=body, headers=headers, allow_redirects=False) as response,
        ):
            text = await response.text()
            answered = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, text, answered, None if response.ok else "http_error")
    except TimeoutError:
        return Answer(None, "", {}, "http_timeout")
    except aiohttp.ClientError:
        return Answer(None, "", {}, "connection_failed")
