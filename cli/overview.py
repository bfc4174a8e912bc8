"""Everything at one look: programs, links, queue, engines, and what is wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from cli.stack import Program, Stack, StackError
from config.settings import Settings
from contract.finding import Finding
from health.client import ProgramHealth, ask_programs
from health.last_error import LastError, read_errors
from health.overview import look_into_redis, problems


def look(settings: Settings) -> dict[str, Any]:
    """Everything, in plain values; what cannot be asked is None, and `problems` says what is wrong and the cure."""
    stack = Stack(settings)
    try:
        pid, supervised, stack_error = stack.pid(), stack.programs() if stack.pid() is not None else [], ""
    except StackError as error:
        pid, supervised, stack_error = None, [], str(error)
    healths = ask_programs(settings)
    in_redis, redis_fault = look_into_redis(settings)
    found: dict[str, Any] = {
        "home": str(settings.home),
        "running": pid is not None or any(one.answers for one in healths),
        "pid": pid,
        "programs": _programs(supervised, healths, read_errors(settings)),
        "links": [
            {"program": one.program, "is_up": finding.is_well, "says": finding.says}
            for one in healths
            for finding in one.findings
            if finding.subject == "link"
        ],
        **in_redis,
        "redis_error": redis_fault.says if redis_fault else None,
    }
    faults = problems(settings, healths, redis_fault, _given_up(supervised)) if found["running"] else []
    if stack_error:
        faults.append({"program": "supervisord", **asdict(Finding("supervisord", False, stack_error))})
    return {**found, "problems": faults}


def _programs(
    supervised: list[Program], healths: list[ProgramHealth], errors: dict[str, LastError]
) -> list[dict[str, Any]]:
    now_s = time.time()
    addresses = {one.program: one.address for one in healths if one.answers}
    rows: list[dict[str, Any]] = [
        {
            "name": one.name,
            "state": one.state,
            "pid": one.pid or None,
            "uptime_s": round(now_s - one.started_at_s) if one.pid else None,
        }
        for one in supervised
    ]
    known = {row["name"] for row in rows}
    # Those that a person started in a terminal.
    rows += [
        {"name": name, "state": "RUNNING", "pid": None, "uptime_s": None} for name in addresses if name not in known
    ]
    for row in rows:
        error = errors.get(row["name"])
        row["address"] = addresses.get(row["name"])
        row["last_error"] = error.says if error else None
        row["last_error_at_s"] = round(error.at_s) if error else None
    return rows


def _given_up(supervised: list[Program]) -> Iterator[tuple[str, Finding]]:
    """The programs that supervisord could not keep up."""
    for program in supervised:
        if program.broken:
            cure = f"fennel logs {program.name}; when it is mended: fennel restart {program.name}"
            yield program.name, Finding(program.name, False, f"supervisord says {program.state}", cure)
