"""How the programs, the queue and the engines stand, and what is wrong, as the programs themselves tell it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import redis
from rq.queue import Queue
from rq.serializers import JSONSerializer

from config.redis_clients import threads_client
from config.settings import Settings
from contract import names
from contract.finding import Finding
from health.client import ProgramHealth, ask_programs
from health.engine_state import read_states
from health.last_error import read_errors
from health.surroundings import Surroundings, disk, redis_finding

REDIS_TIMEOUT_S = 3.0


def look_inside(settings: Settings) -> dict[str, Any]:
    """Everything that needs no supervisord, in plain values: `programs`, `queue`, `engines`, `problems`.

    What cannot be asked is None.
    """
    healths, errors = ask_programs(settings), read_errors(settings)
    in_redis, redis_fault = look_into_redis(settings)
    programs = [
        {
            "name": one.program,
            "answers": one.answers,
            "last_error": errors[one.program].says if one.program in errors else None,
            "last_error_at_s": errors[one.program].at_s if one.program in errors else None,
        }
        for one in healths
    ]
    return {"programs": programs, **in_redis, "problems": problems(settings, healths, redis_fault)}


def look_into_redis(settings: Settings) -> tuple[dict[str, Any], Finding | None]:
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


def problems(
    settings: Settings,
    healths: Iterable[ProgramHealth],
    redis_fault: Finding | None,
    more: Iterable[tuple[str, Finding]] = (),
) -> list[dict[str, Any]]:
    """Each fault once, whoever sees it; `more` are findings of others, by program."""
    found: dict[tuple[str, str], dict[str, Any]] = {}

    def add(program: str, finding: Finding) -> None:
        if not finding.is_well:
            # A full disk or a dead Redis is one fault, however many programs see it.
            whose = program if finding.subject == "link" else ""
            found.setdefault((whose, finding.subject), {"program": program, **asdict(finding)})

    add("fennel", disk(settings))
    if redis_fault:
        add("fennel", redis_fault)
    for health in healths:
        for finding in health.findings:
            if finding.subject != "engine" or not redis_fault:  # nothing is known of it without Redis
                add(health.program, finding)
    for program, finding in more:
        add(program, finding)
    return list(found.values())
