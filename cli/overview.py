"""Everything at one look: programs, links, queue, engines, and what is wrong."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import redis
from rq.queue import Queue
from rq.serializers import JSONSerializer

from cli.stack import Program, Stack, StackError
from config.redis_clients import threads_client
from config.settings import Settings
from contract import names
from contract.finding import Finding
from health.client import ProgramHealth, ask_programs
from health.engine_state import read_states
from health.last_error import LastError, read_errors
from health.surroundings import Surroundings, disk, redis_finding

REDIS_TIMEOUT_S = 3.0
BROKEN_STATES = ("BACKOFF", "FATAL", "UNKNOWN")


def look(settings: Settings) -> dict[str, Any]:
    """Everything, in plain values; what cannot be asked is None, and `problems` says what is wrong and the cure."""
    stack = Stack(settings)
    try:
        pid, supervised, stack_error = stack.pid(), stack.programs() if stack.pid() is not None else [], ""
    except StackError as error:
        pid, supervised, stack_error = None, [], str(error)
    healths = ask_programs(settings)
    in_redis, redis_fault = _look_into_redis(settings)
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
    problems = _problems(settings, supervised, healths, redis_fault) if found["running"] else []
    if stack_error:
        problems.append({"program": "supervisord", **asdict(Finding("supervisord", False, stack_error))})
    return {**found, "problems": problems}


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


def _look_into_redis(settings: Settings) -> tuple[dict[str, Any], Finding | None]:
    """The queue and the engines, or what is wrong with Redis."""
    around = Surroundings(settings)
    try:
        with threads_client(settings.redis_address, REDIS_TIMEOUT_S) as client:
            engines = [state.as_dict() for state in read_states(client, settings)]
            queue = Queue(names.QUEUE, connection=client, serializer=JSONSerializer)
            counts = {
                "queued": queue.count,
                "executing": queue.started_job_registry.get_job_count(cleanup=False),
                "failed": queue.failed_job_registry.get_job_count(cleanup=False),
                "oldest_s": round(around.queue()[1], 1),
            }
    except redis.RedisError as error:
        return {"queue": None, "engines": None}, redis_finding(error, settings)
    finally:
        around.close()
    return {"queue": counts, "engines": engines}, None


def _problems(
    settings: Settings, supervised: list[Program], healths: list[ProgramHealth], redis_fault: Finding | None
) -> list[dict[str, Any]]:
    """Each fault once, whoever sees it."""
    problems: dict[tuple[str, str], dict[str, Any]] = {}

    def add(program: str, finding: Finding) -> None:
        if not finding.is_well:
            # A full disk or a dead Redis is one fault, however many programs see it.
            whose = program if finding.subject == "link" else ""
            problems.setdefault((whose, finding.subject), {"program": program, **asdict(finding)})

    add("fennel", disk(settings))
    if redis_fault:
        add("fennel", redis_fault)
    for health in healths:
        for finding in health.findings:
            if finding.subject != "engine" or not redis_fault:  # nothing is known of it without Redis
                add(health.program, finding)
    for program in supervised:
        if program.state in BROKEN_STATES:
            cure = f"fennel logs {program.name}; when it is mended: fennel restart {program.name}"
            add(program.name, Finding(program.name, False, f"supervisord says {program.state}", cure))
    return list(problems.values())
