"""Redis: whether it answers, keeps what it accepted, and has the time that we have."""

from __future__ import annotations

import time
from typing import Any

import redis

from config.redis_clients import threads_client
from config.settings import Settings
from contract.finding import Finding
from health.surroundings import redis_finding

TIMEOUT_S = 3.0
MAX_SKEW_S = 2.0
FULL = 0.9


def findings(settings: Settings) -> list[Finding]:
    """All findings of Redis; the first alone where it does not answer."""
    with threads_client(settings.redis_address, TIMEOUT_S) as client:
        try:
            asked_at_s = time.time()
            seconds, microseconds = client.time()
            answered_at_s = time.time()
            info: dict[str, Any] = client.info()
            # Nobody may ask the embedded server: config/valkey.conf says it.
            kept = {"appendfsync": "always"} if settings.redis.is_embedded else _kept(client)
        except redis.RedisError as error:
            return [redis_finding(error, settings)]
    skew_s = seconds + microseconds / 1e6 - (asked_at_s + answered_at_s) / 2
    version = info.get("valkey_version") or info.get("redis_version")
    return [
        Finding("Redis", True, f"{version} answers at {settings.redis_address.shown}"),
        _persistence(info, kept),
        _memory(info),
        _clock(skew_s),
    ]


def _kept(client: redis.Redis) -> dict[str, str]:
    """The settings that decide what is kept; empty where this user may not ask for them."""
    try:
        kept: Any = client.config_get("append*")
        return dict(kept)
    except redis.ResponseError:
        return {}


def _persistence(info: dict[str, Any], kept: dict[str, str]) -> Finding:
    subject = "Redis persistence"
    if not int(info.get("aof_enabled", 0)):
        return Finding(
            subject,
            False,
            "its append-only file is off: a restart loses questions",
            "redis-cli CONFIG SET appendonly yes, and the same line in its configuration file",
        )
    if info.get("aof_last_write_status", "ok") != "ok":
        return Finding(
            subject, False, "the last write of its append-only file failed", "free space on its disk, then restart it"
        )
    fsync = kept.get("appendfsync", "not told")
    if fsync == "no":
        return Finding(
            subject,
            False,
            "it leaves writing to the system (appendfsync no)",
            "CONFIG SET appendfsync always",
        )
    loses = "" if fsync == "always" else ", so that a power cut may lose the last seconds"
    return Finding(subject, True, f"the append-only file is on, appendfsync {fsync}{loses}")


def _memory(info: dict[str, Any]) -> Finding:
    subject = "Redis memory"
    policy = info.get("maxmemory_policy", "noeviction")
    used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if policy != "noeviction":
        return Finding(
            subject,
            False,
            f"maxmemory-policy is {policy}: under pressure it throws questions away",
            "redis-cli CONFIG SET maxmemory-policy noeviction",
        )
    if limit and used > FULL * limit:
        return Finding(
            subject, False, f"{used / 1e6:,.0f} of {limit / 1e6:,.0f} MB are taken", "give it more with maxmemory"
        )
    of = f" of {limit / 1e6:,.0f}" if limit else ""
    return Finding(subject, True, f"{used / 1e6:,.1f}{of} MB are taken, and nothing is evicted")


def _clock(skew_s: float) -> Finding:
    if abs(skew_s) > MAX_SKEW_S:
        return Finding(
            "clock",
            False,
            f"the clock of Redis' machine is {skew_s:+.1f} s off this one's: questions look older or younger",
            "let both machines keep their time (systemctl enable --now systemd-timesyncd)",
        )
    return Finding("clock", True, f"Redis has the same time ({skew_s:+.3f} s)")
