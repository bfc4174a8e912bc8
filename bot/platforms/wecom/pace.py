"""How often Fennel writes into one WeCom conversation.

WeCom takes 30 messages a minute and 1,000 an hour in a conversation (vendor's page 101463). Whether refreshes of a
stream count is not said, so they are counted; the first of them that would eat the room for answers wait.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Literal

Kind = Literal["start", "refresh", "end"]
SHARES: dict[Kind, float] = {"start": 0.85, "refresh": 0.6, "end": 1.0}
"""What each kind may use of the whole: the end of an answer finds room when everything else has to wait."""
CHATS_REMEMBERED = 1_024


@dataclass(frozen=True, slots=True)
class Rate:
    """How many in how long; windows in seconds, a little longer than WeCom's: frames travel at different speeds."""

    per_min: int = 30
    per_hour: int = 1_000
    minute_s: float = 61.0
    hour_s: float = 3_605.0


class Pace:
    """Counts what was sent in each conversation. A restart forgets; then WeCom itself says when it is too often."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._sent_at_s: dict[str, deque[float]] = {}

    def wait_s(self, chat: str, kind: Kind) -> float:
        """How long this has to wait; 0 where it may go now."""
        sent = self._sent_at_s.get(chat)
        if not sent:
            return 0.0
        now_s = time.monotonic()
        while sent and sent[0] <= now_s - self._rate.hour_s:
            sent.popleft()
        share = SHARES[kind]
        per_min, per_hour = int(self._rate.per_min * share), int(self._rate.per_hour * share)
        waits = [
            _until_room(sent, per_min, self._rate.minute_s, now_s),
            _until_room(sent, per_hour, self._rate.hour_s, now_s),
        ]
        if kind == "refresh":
            waits.append(self._spacing_s(sent, per_min, now_s))
        return max(waits)

    def charge(self, chat: str) -> None:
        """Something goes out now."""
        if chat not in self._sent_at_s and len(self._sent_at_s) >= CHATS_REMEMBERED:
            self._forget_quiet_chats()
        self._sent_at_s.setdefault(chat, deque()).append(time.monotonic())

    def refund(self, chat: str) -> None:
        """What was charged last did not go out."""
        if self._sent_at_s.get(chat):
            self._sent_at_s[chat].pop()

    def _spacing_s(self, sent: deque[float], per_min: int, now_s: float) -> float:
        """Once half the room is used, refreshes are spread evenly: a text that stands still for long looks broken."""
        used = sum(1 for at_s in sent if at_s > now_s - self._rate.minute_s)
        if used < per_min / 2:
            return 0.0
        return max(0.0, sent[-1] + self._rate.minute_s / per_min - now_s)

    def _forget_quiet_chats(self) -> None:
        old_s = time.monotonic() - self._rate.hour_s
        self._sent_at_s = {chat: sent for chat, sent in self._sent_at_s.items() if sent and sent[-1] > old_s}


def _until_room(sent: deque[float], limit: int, window_s: float, now_s: float) -> float:
    """Until fewer than `limit` are left in the window."""
    if len(sent) < limit:
        return 0.0
    return max(0.0, sent[-limit] + window_s - now_s)
