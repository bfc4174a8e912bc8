"""What holds in each channel: how the bot listens there, and when it works."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from bot.phrases import phrase
from config.sections import ChannelSettings


class ChannelRules:
    """The settings of channels; one that has none of its own has those of all."""

    def __init__(self, common: ChannelSettings, own: Mapping[str, ChannelSettings]) -> None:
        self._common = common
        self._own = own

    def of(self, place: str) -> ChannelSettings:
        """The settings of a channel, named as ``PLATFORM:TENANT:CHANNEL``."""
        return self._own.get(place, self._common)


def is_at_work(channel: ChannelSettings, now_s: float) -> bool:
    """Whether the channel has its work hours now; a night shift's belong to the day on which they begin."""
    if not channel.work_hours:
        return True
    now = datetime.fromtimestamp(now_s, ZoneInfo(channel.time_zone))
    start, end = channel.work_hours.split("-")
    clock, today, yesterday = now.strftime("%H:%M"), now.isoweekday(), (now.isoweekday() + 5) % 7 + 1
    if start <= end:
        return today in channel.work_days and start <= clock < end
    return (today in channel.work_days and clock >= start) or (yesterday in channel.work_days and clock < end)


def hours_of(channel: ChannelSettings, language: str) -> str:
    """The work hours as a person reads them."""
    start, _, end = channel.work_hours.partition("-")
    names = phrase(language, "days").split("|")
    days = phrase(language, "days_between").join(names[day - 1] for day in sorted(set(channel.work_days)))
    return phrase(language, "hours", days=days, start=start, end=end, zone=channel.time_zone)
