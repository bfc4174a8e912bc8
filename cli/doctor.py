"""`fennel doctor`: what is wrong, and the command that mends it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bot.registry import PLATFORMS
from cli.checks import machine, model, platforms, programs, store
from cli.printing import JSON_OPTION, print_json
from config.loading import load_settings
from config.settings import Settings
from config.settings_error import SettingsError
from contract.finding import Finding

SICK = 1


@click.command()
@click.argument("platform", required=False, type=click.Choice(sorted(set(PLATFORMS) - {"console"})))
@JSON_OPTION
def doctor(platform: str | None, as_json: bool) -> None:
    """Look at everything, or at one PLATFORM, and say what is wrong and what mends it. Exit code 1: something is."""
    try:
        found = examine(load_settings(), platform)
    except SettingsError as error:
        found = [Finding("settings", False, str(error), "correct it; config/fennel.toml explains every setting")]
    is_well = all(one.is_well for one in found)
    if as_json:
        print_json({"is_well": is_well, "findings": [asdict(one) for one in found]})
    else:
        show(found, Console())
    sys.exit(0 if is_well else SICK)


def examine(settings: Settings, platform: str | None = None) -> list[Finding]:
    """Everything that was found, the foundations first."""
    if platform is not None:
        return platforms.findings(settings, platform)
    is_loaded = any(state.ready for state in programs.engines(settings))
    return [
        *machine.findings(settings),
        *store.findings(settings),
        *model.findings(settings, is_loaded=is_loaded),
        *programs.findings(settings),
        *platforms.findings(settings),
    ]


def show(found: Sequence[Finding], console: Console) -> None:
    """Print a table, and below it what is to be done."""
    table = Table("", "what", "how it stands", box=None, pad_edge=False)
    for one in found:
        mark = Text("✓", style="green") if one.is_well else Text("✗", style="bold red")
        says = Text(one.says)
        if one.cure and not one.is_well:
            says.append(f"\n→ {one.cure}", style="bold")
        table.add_row(mark, Text(one.subject), says)
    console.print(table)
    sick = sum(not one.is_well for one in found)
    console.print("All is well." if not sick else f"{sick} of {len(found)} want mending.", highlight=False)
