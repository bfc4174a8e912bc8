"""The limits and error codes of the platform, what is not established about it, and its rate windows.

Sources: the vendor's developer pages 101463 (long connection), 100719, 101031, 101033, 101039, 101138 (callback) and
the source of ``@wecom/aibot-node-sdk`` 1.0.7. A value that no vendor page gives says so.
"""

from collections import deque
from dataclasses import dataclass
from typing import Any, Literal

STREAM_LIFE_S = 360.0  # from the stream's first send (long connection) or from the user's message (callback)
REPLY_LIFE_S = 24 * 3600.0  # how long a callback's req_id may be answered
EVENT_REPLY_LIFE_S = 5.0  # welcome and card update
ANSWER_WAIT_S = 5.0  # one reply at a time for a req_id: the client waits this long for its answer
MEDIA_LIFE_S = 300.0  # download links
CALLBACK_TRIES = 3  # assumed
CONTENT_BYTES = 20_480
FEEDBACK_ID_BYTES = 256
SENDS_PER_MIN = 30
SENDS_PER_HOUR = 1000
POLL_INTERVAL_S = 1.0  # callback mode asks for a stream's text about this often
QR_LIFE_S = 300.0  # the client library's own lifetime of a code; the server's is not documented
LONG_POLL_S = 35.0
UNANSWERED_LIMIT = 10  # iLink refuses more messages in a row that the user has not answered; third-party report
CONTEXT_LIFE_S = 24 * 3600.0  # iLink; third-party report

OK = 0
INVALID_CREDENTIAL = 40001  # assumed: no vendor page gives the code of a failed subscription
INVALID_PARAMETER = 40058  # assumed
TOO_LARGE = 45002  # assumed
TOO_OFTEN = 45009  # assumed: the code that the vendor's other interfaces use
UNKNOWN_CHAT = 86001  # assumed
INVALID_REQ_ID = 846605
STREAM_EXPIRED = 846608
ILINK_STALE_TOKEN = -14
ILINK_REFUSED = -2


class RefusedError(Exception):
    """The platform refuses a frame or call; `errcode` and `errmsg` go to the client, `rule` to the violations."""

    def __init__(self, errcode: int, errmsg: str, rule: str) -> None:
        super().__init__(f"{errcode} {errmsg}")
        self.errcode = errcode
        self.errmsg = errmsg
        self.rule = rule

    def as_answer(self) -> dict[str, Any]:
        """The two fields that every refusal carries."""
        return {"errcode": self.errcode, "errmsg": self.errmsg}


@dataclass(slots=True)
class OpenPoints:
    """What the vendor does not say. A client has to live with either reading, so each is switched here."""

    req_ids_survive_reconnect: bool = True
    refreshes_count: bool = False  # whether a stream's refreshes count towards the send rate
    finished_stream: Literal["refuse", "accept"] = "refuse"  # a further send of a finished stream
    oversize: Literal["refuse", "cut"] = "refuse"  # content above the byte limit
    response_url_life_s: float = 3600.0  # reports say one hour, and also five minutes
    subscribes_per_min: int = 60  # the vendor says that there is a protection and gives no number
    verify_wait_s: float = 1.0  # documented: how long the callback address may take for its verification
    callback_wait_s: float = 5.0  # … and for a callback, before it is sent again; both are real, unscaled seconds
    ilink_dedups: bool = False  # whether iLink drops a second message with the same client_id


class RateWindow:
    """Counts what happened within the last minutes and hours of the platform's clock."""

    def __init__(self, limits: dict[float, int]) -> None:
        self._limits = limits  # window in seconds -> how many are allowed in it
        self._times_s: deque[float] = deque()

    def admit(self, now_s: float) -> bool:
        """Count one more when every window has room for it; says whether it had."""
        longest_s = max(self._limits)
        while self._times_s and self._times_s[0] <= now_s - longest_s:
            self._times_s.popleft()
        for window_s, limit in self._limits.items():
            if sum(1 for at_s in self._times_s if at_s > now_s - window_s) >= limit:
                return False
        self._times_s.append(now_s)
        return True
