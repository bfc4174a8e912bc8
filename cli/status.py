"""`fennel status`: the programs, the queue and the engines."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import click
import redis
from rich.console import Console
from rich.table import Table
from rq.queue import Queue
from rq.serializers import JSONSerializer

from cli.readiness import shown_address
from cli.stack import Stack
from config.settings import Settings, load_settings
from contract import names
from health.engine_state import read_states

NOTHING_RUNNING = 5
REDIS_TIMEOUT_S = 3.0


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(as_json: bool) -> None:
    """Show the programs, the queue and the engines. Exit code 5: nothing runs."""
    settings = load_settings()
    found = look(settings)
    if as_json:
        click.echo(json.dumps(found))
    else:
        _print(found)
    sys.exit(0 if found["running"] else NOTHING_RUNNING)


def look(settings: Settings) -> dict[str, Any]:
    """Everything, in plain values; what cannot be asked is None, and `redis_error` says why."""
    stack = Stack(settings)
    pid = stack.pid()
    now_s = time.time()
    found: dict[str, Any] = {"home": str(settings.home), "running": pid is not None, "pid": pid, "programs": []}
    for program in stack.programs() if pid is not None else []:
        uptime_s = round(now_s - program.started_at_s) if program.pid else None
        found["programs"].append(
            {"name": program.name, "state": program.state, "pid": program.pid or None, "uptime_s": uptime_s}
        )
    return {**found, **_look_into_redis(settings)}


def _look_into_redis(settings: Settings) -> dict[str, Any]:
    try:
        with redis.Redis.from_url(
            settings.redis_url,
            decode_responses=True,
            socket_timeout=REDIS_TIMEOUT_S,
            socket_connect_timeout=REDIS_TIMEOUT_S,
        ) as client:
            engines = [state.as_dict() for state in read_states(client, settings)]
            queue = Queue(names.QUEUE, connection=client, serializer=JSONSerializer)
            counts = {
                "queued": queue.count,
                "executing": queue.started_job_registry.get_job_count(cleanup=False),
                "failed": queue.failed_job_registry.get_job_count(cleanup=False),
            }
    except redis.RedisError as error:
        sentence = f"Redis at {shown_address(settings.redis_url)} does not answer ({error})"
        return {"queue": None, "engines": None, "redis_error": sentence}
    return {"queue": counts, "engines": engines, "redis_error": None}


def _print(found: dict[str, Any]) -> None:
    console = Console()
    if not found["running"]:
        console.print("Fennel is not running; `fennel up` starts it.", highlight=False)
        return
    programs = Table("program", "state", "process", "up for", title=f"Fennel in {found['home']}", title_justify="left")
    for program in found["programs"]:
        uptime = "" if program["uptime_s"] is None else f"{program['uptime_s']} s"
        programs.add_row(program["name"], program["state"], str(program["pid"] or ""), uptime)
    console.print(programs)
    if found["redis_error"]:
        console.print(found["redis_error"], highlight=False, markup=False)
        return
    engines = Table("engine of", "state", "what")
    for engine in found["engines"]:
        what = engine["error"] or engine["what"]
        share = f"{engine['progress']:.0%} " if engine["state"] == "loading" else ""
        engines.add_row(engine["worker"], engine["state"] or "not heard of", f"{share}{what}")
    console.print(engines)
    counts = ", ".join(f"{count} {name}" for name, count in found["queue"].items())
    console.print(f"Questions: {counts}", highlight=False)
