"""How questions ended over time."""

from __future__ import annotations

from bot.platforms.web.tabs.trends import SPANS, Ended, points
from contract.answer import Outcome

NOW_S = 1_800_000_100.0


def test_each_stretch_counts_its_own() -> None:
    """Questions stand in the stretch in which they ended; small talk and commands are none, older ones are left out."""
    ended = [
        *(Ended(NOW_S - 10, Outcome.ANSWERED, took_s) for took_s in (1.0, 2.0, 9.0)),
        Ended(NOW_S - 20, Outcome.NOT_FOUND, 0.5),
        *(Ended(NOW_S - 30, one, 0.1) for one in (Outcome.SMALL_TALK, Outcome.TOLD, Outcome.REFUSED, Outcome.STOPPED)),
        *(Ended(NOW_S - 3_000, one, 5.0) for one in (Outcome.FAILED, Outcome.EXPIRED, Outcome.BUSY)),
        Ended(NOW_S - 90_000, Outcome.ANSWERED, 1.0),
    ]
    found = points(ended, "hour", NOW_S)
    assert len(found) == 12
    last = found[-1]
    assert (last.answered, last.not_found, last.unserved, last.answered_share) == (3, 1, 0, 0.75)
    assert (last.median_s, last.slow_s) == (2.0, 9.0)
    assert sum(one.unserved for one in found) == 3
    assert sum(one.answered for one in found) == 3


def test_nothing_asked_is_no_share() -> None:
    """A stretch without questions has neither a share nor a time, in every span."""
    for span, (whole_s, step_s) in SPANS.items():
        found = points([], span, NOW_S)
        assert len(found) == whole_s // step_s
        assert {(one.answered_share, one.median_s, one.slow_s) for one in found} == {(None, None, None)}
