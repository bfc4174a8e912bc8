"""The chat platforms that are set up: their own findings of tokens, scopes and links."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import replace

from bot.registry import PLATFORMS, wanted_settings
from config.settings import Settings
from contract.errors import FennelError
from contract.finding import Finding

TIMEOUT_S = 30.0
WITHOUT_LINK = ("console",)


def findings(settings: Settings, only: str | None = None) -> list[Finding]:
    """The findings of every platform that is set up, or of the one that is named."""
    named = [only] if only else [name for name in PLATFORMS if name not in WITHOUT_LINK]
    found: list[Finding] = []
    for name in named:
        wanted = wanted_settings(name, settings)
        if not wanted:
            found.extend(_of(name, asyncio.run(_look(name, settings))))
        elif only:
            found.append(Finding(name, False, f"{name} is not set up", f"set {wanted}"))
    if not found:
        found.append(Finding("platforms", True, "none is set up; `fennel ask` and `fennel chat` need none"))
    return found


def _of(name: str, found: Sequence[Finding]) -> list[Finding]:
    return [one if one.subject.startswith(name) else replace(one, subject=f"{name} {one.subject}") for one in found]


async def _look(name: str, settings: Settings) -> list[Finding]:
    module_name = f"{PLATFORMS[name].module}.doctor"
    try:
        if importlib.util.find_spec(module_name) is None:
            return [Finding("settings", True, "are set")]
        module = importlib.import_module(module_name)
        async with asyncio.timeout(TIMEOUT_S):
            found: list[Finding] = await module.findings(settings)
            return found
    except TimeoutError:
        return [Finding("reach", False, f"it did not answer within {TIMEOUT_S:.0f} s", "look at the network")]
    except ModuleNotFoundError as error:
        if not error.name or error.name.split(".")[0] in ("bot", "config", "contract"):
            raise
        return [Finding("software", False, f"{error.name} is not installed", f"pip install 'fennel[{name}]'")]
    except FennelError as error:
        return [
            Finding("reach", False, str(error), f"look at docs/{'wechat' if name in ('wecom', 'weixin') else name}.md")
        ]
