"""The targets by name. Each module is imported only when it is fuzzed, so that its reader can be instrumented first."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from tests.fuzz.target import Target


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a target is, what of ours it looks into, and how many inputs it gets: in CI, and of a million at night."""

    module: str
    instrumented: tuple[str, ...]
    in_ci: int
    of_a_million: int


TARGETS = {
    "records": Entry("records:Records", ("contract", "bot.feedback"), 4_000, 250_000),
    "answers": Entry("redis_entries:Answers", ("bot.answer_stream", "contract"), 1_500, 40_000),
    "jobs": Entry("redis_entries:Jobs", ("workers.worker", "contract"), 1_500, 40_000),
    "settings": Entry("settings:SettingsFiles", ("config",), 700, 10_000),
    "slack-events": Entry("slack:Events", ("bot.platforms.slack.events",), 2_000, 150_000),
    "slack-http": Entry("slack:Http", ("bot.platforms.slack",), 600, 20_000),
    "lark-events": Entry("lark:Events", ("bot.platforms.lark.events",), 2_000, 150_000),
    "lark-webhook": Entry("lark:Sealed", ("bot.platforms.lark",), 1_000, 60_000),
    "wecom-events": Entry("wecom:Events", ("bot.platforms.wecom.events",), 1_800, 120_000),
    "wecom-callback": Entry("wecom:Callback", ("bot.platforms.wecom",), 1_000, 60_000),
    "weixin": Entry("weixin:Messages", ("bot.platforms.weixin.events",), 1_000, 60_000),
    "openai": Entry("openai_stream:Stream", ("workers.engine.remote",), 500, 20_000),
    "documents": Entry("documents:Documents", ("workers.knowledge",), 2_000, 40_000),
    "documents-sandboxed": Entry("documents:Sandboxed", (), 400, 10_000),
}


def make_target(name: str) -> Target:
    """Open the target of this name."""
    module, _, kind = TARGETS[name].module.partition(":")
    target: Target = getattr(importlib.import_module(f"{__name__}.{module}"), kind)()
    return target
