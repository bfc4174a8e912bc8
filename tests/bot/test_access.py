"""Who may ask, and when."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bot.access import Access
from bot.admission import Admission
from bot.channel_rules import ChannelRules, hours_of, is_at_work
from bot.chat_message import ChatMessage
from bot.intake import Facts, Intake, IntakeLimits, Refusal, Silence
from config.sections import AccessSettings, ChannelSettings
from tests.bot.conftest import make_message

NOW_S = datetime(2026, 11, 23, 12, 0, tzinfo=UTC).timestamp()  # a Monday


def access(**changes: Any) -> Access:
    """Everybody may ask, unless changed."""
    lists = ("tenants", "channels", "people")
    values: dict[str, Any] = {f"{kind}_{name}": [] for kind in ("allow", "deny") for name in lists}
    return Access(AccessSettings(**(values | {"allow_bots": [], "admins": [], "direct_messages": "allow"} | changes)))


def channel(**changes: Any) -> ChannelSettings:
    """An ordinary channel, unless changed."""
    values: dict[str, Any] = {
        "listen": "mention",
        "quiet_s": 12,
        "work_hours": "",
        "work_days": [1, 2, 3, 4, 5, 6, 7],
        "time_zone": "UTC",
        "maintainers": [],
    }
    return ChannelSettings(**(values | changes))


def message(**changes: Any) -> ChatMessage:
    """A mention by u-ann, who is called like somebody else, on that Monday."""
    return make_message(**({"sender_name": "Boss", "at_s": NOW_S} | changes))


def outcome(settings: dict[str, Any], said: dict[str, Any], **facts: Any) -> str:
    """What becomes of a message."""
    intake = Intake(IntakeLimits(600, access=access(**settings), channels=ChannelRules(channel(), {})))
    decision = intake.decide(message(**said), Facts(NOW_S, **facts))
    if isinstance(decision, Silence):
        return f"silence {decision.reason}"
    return f"refused {decision.reason}" if isinstance(decision, Refusal) else "question"


DIRECT = {"is_direct": True, "mentions_us": False}
FOLLOW_UP = {"mentions_us": False}


@pytest.mark.parametrize(
    ("settings", "said", "expected"),
    [
        ({}, {}, "question"),
        ({"deny_people": ["chat:team:u-ann"]}, {}, "silence denied"),
        ({"deny_people": ["chat:team:Boss"]}, {}, "question"),
        ({"deny_people": ["slack:team:u-ann"]}, {}, "question"),
        ({"deny_channels": ["chat:team:general"]}, {}, "silence denied"),
        ({"deny_tenants": ["chat:team"]}, DIRECT, "silence denied"),
        ({"deny_people": ["chat:team:u-ann"], "admins": ["chat:team:u-ann"]}, {}, "silence denied"),
        ({"allow_tenants": ["chat:other"]}, {}, "refused not_here"),
        ({"allow_tenants": ["chat:team"]}, {}, "question"),
        ({"allow_channels": ["chat:team:random"]}, {}, "refused not_here"),
        ({"allow_channels": ["chat:team:random"]}, DIRECT, "question"),
        ({"allow_people": ["chat:team:u-bob"]}, {}, "refused not_here"),
        ({"allow_people": ["chat:team:u-bob"]}, {"sender_name": "u-bob"}, "refused not_here"),
        ({"allow_people": ["chat:team:u-bob"]}, FOLLOW_UP, "silence not_here"),
        ({"allow_people": ["chat:team:u-bob"], "admins": ["chat:team:u-ann"]}, {}, "question"),
        ({"direct_messages": "deny"}, DIRECT, "refused no_direct"),
        ({"direct_messages": "people"}, DIRECT, "refused no_direct"),
        ({"direct_messages": "people", "allow_people": ["chat:team:u-ann"]}, DIRECT, "question"),
        ({"direct_messages": "deny", "admins": ["chat:team:u-ann"]}, DIRECT, "question"),
        ({"direct_messages": "deny"}, {}, "question"),
        ({}, {"from_bot": True}, "silence from_a_bot"),
        ({"allow_bots": ["chat:team:u-ann"]}, {"from_bot": True}, "question"),
        ({"allow_bots": ["chat:team:other"]}, {"from_bot": True}, "silence from_a_bot"),
        ({}, FOLLOW_UP | {"text": "@bob can you?"}, "silence to_somebody_else"),
        ({}, {"text": "@bob can you?"}, "question"),
    ],
)
def test_who_may_ask(settings: dict[str, Any], said: dict[str, Any], expected: str) -> None:
    """Ids decide, never names; who is denied hears nothing, who is not allowed hears why if they called us."""
    assert outcome(settings, said, thread_is_ours=True) == expected


def test_a_bot_is_no_admin() -> None:
    """Its id in the list of admins gives it nothing."""
    admins = access(admins=["chat:team:u-ann"])
    assert admins.is_admin(message())
    assert not admins.is_admin(message(from_bot=True))


@pytest.mark.parametrize(
    ("admission", "said", "expected"),
    [
        (Admission(short="person", wait_s=30, tells=True), {}, "refused limited_person"),
        (Admission(short="group", wait_s=30, tells=False), {}, "silence limited"),
        (Admission(short="bot"), {}, "silence bot_loop"),
        (Admission(own={"paused": "1"}), {}, "refused paused"),
        (Admission(own={"paused": "1"}), FOLLOW_UP, "silence paused"),
    ],
)
def test_what_redis_knows_decides_too(admission: Admission, said: dict[str, Any], expected: str) -> None:
    """A limit is told where it has not been told, a pause to whoever called us."""
    assert outcome({}, said, thread_is_ours=True, admission=admission) == expected


@pytest.mark.parametrize(
    ("changes", "at", "works"),
    [
        ({}, "2026-11-22 03:00", True),
        ({"work_hours": "09:00-18:00"}, "2026-11-23 08:59", False),
        ({"work_hours": "09:00-18:00"}, "2026-11-23 09:00", True),
        ({"work_hours": "09:00-18:00"}, "2026-11-23 18:00", False),
        ({"work_hours": "09:00-18:00", "work_days": [1, 2, 3, 4, 5]}, "2026-11-22 12:00", False),
        ({"work_hours": "09:00-18:00", "time_zone": "Asia/Shanghai"}, "2026-11-23 02:00", True),
        ({"work_hours": "09:00-18:00", "time_zone": "Asia/Shanghai"}, "2026-11-23 12:00", False),
        ({"work_hours": "22:00-06:00", "work_days": [5]}, "2026-11-27 23:00", True),
        ({"work_hours": "22:00-06:00", "work_days": [5]}, "2026-11-28 05:00", True),
        ({"work_hours": "22:00-06:00", "work_days": [5]}, "2026-11-27 05:00", False),
        ({"work_hours": "22:00-06:00", "work_days": [7]}, "2026-11-23 05:00", True),
    ],
)
def test_when_it_works(changes: dict[str, Any], at: str, works: bool) -> None:
    """Hours are the channel's own time; a night's belong to the day on which they begin."""
    now_s = datetime.fromisoformat(f"{at}+00:00").timestamp()
    assert is_at_work(channel(**changes), now_s) is works


def test_hours_are_told_in_both_languages() -> None:
    """Whoever asks too late learns when to ask."""
    night = channel(work_hours="09:00-18:00", work_days=[2, 1], time_zone="Asia/Shanghai")
    assert hours_of(night, "en") == "on Mon, Tue from 09:00 to 18:00 (Asia/Shanghai)"
    assert hours_of(night, "zh") == "周一、周二 09:00 至 18:00（Asia/Shanghai）"
