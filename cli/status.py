"""`fennel status`: the programs, the links, the queue and the engines at one look."""

from __future__ import annotations

import sys
import time
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cli.overview import look
from cli.printing import print_json
from config.loading import load_settings
from config.settings import Settings

NOTHING_RUNNING = 5
REFRESH_S = 1.0


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; with --watch one a line.")
@click.option("--watch", is_flag=True, help="Go on until Ctrl-C.")
def status(as_json: bool, watch: bool) -> None:
    """Show the programs, the links, the queue and the engines, and what is wrong. Exit code 5: nothing runs."""
    settings = load_settings()
    if watch:
        _watch(settings, as_json)
        return
    found = look(settings)
    if as_json:
        print_json(found)
    else:
        Console().print(rendered(found))
    sys.exit(0 if found["running"] else NOTHING_RUNNING)


def _watch(settings: Settings, as_json: bool) -> None:
    try:
        if as_json:
            while True:
                print_json(look(settings))
                time.sleep(REFRESH_S)
        with Live(rendered(look(settings)), auto_refresh=False, screen=sys.stdout.isatty()) as live:
            while True:
                time.sleep(REFRESH_S)
                live.update(rendered(look(settings)), refresh=True)
    except KeyboardInterrupt:
        return


def rendered(found: dict[str, Any]) -> RenderableType:
    """What `look` found, for people."""
    if not found["running"]:
        return Text("Fennel is not running; `fennel up` starts it.")
    parts: list[RenderableType] = [_programs(found)]
    if found["links"]:
        parts.append(_links(found))
    if found["engines"] is not None:
        parts.append(_engines(found))
        queue = found["queue"]
        parts.append(
            Text(
                f"Questions: {queue['queued']} queued (the oldest for {queue['oldest_s']:.0f} s), "
                f"{queue['executing']} executing, {queue['failed']} failed"
            )
        )
    parts += [_problem(one) for one in found["problems"]]
    return Group(*parts)


def _programs(found: dict[str, Any]) -> Table:
    table = Table("program", "state", "process", "up for", "last error", title=f"Fennel in {found['home']}")
    table.title_justify = "left"
    for one in found["programs"]:
        error = ""
        if one["last_error"]:
            error = f"{_ago(time.time() - one['last_error_at_s'])} ago: {one['last_error']}"
        uptime = "" if one["uptime_s"] is None else _ago(one["uptime_s"])
        table.add_row(*(Text(cell) for cell in (one["name"], one["state"], str(one["pid"] or ""), uptime, error)))
    return table


def _links(found: dict[str, Any]) -> Table:
    table = Table("link of", "", "how it stands")
    for one in found["links"]:
        table.add_row(Text(one["program"]), "up" if one["is_up"] else "down", Text(one["says"]))
    return table


def _engines(found: dict[str, Any]) -> Table:
    table = Table("engine of", "state", "in flight", "tokens/s", "GPU memory", "what")
    for one in found["engines"]:
        share = f"{one['progress']:.0%} " if one["state"] == "loading" else ""
        memory = f"{one['gpu_memory_bytes'] / 1e9:.1f} GB" if one["gpu_memory_bytes"] else ""
        what = Text(f"{share}{one['error'] or one['what']}")
        state = one["state"] or "not heard of"
        table.add_row(one["worker"], state, str(one["in_flight"]), f"{one['tokens_per_s']:.1f}", memory, what)
    return table


def _problem(problem: dict[str, Any]) -> Text:
    text = Text(f"✗ {problem['subject']}: ", style="bold red")
    text.append(problem["says"], style="not bold default")
    if problem["cure"]:
        text.append(f"\n  → {problem['cure']}", style="bold default")
    return text


def _ago(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
