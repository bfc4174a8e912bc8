"""The programs: whether supervisord keeps them up, and what their workers say of the engines."""

from __future__ import annotations

import redis

from cli.stack import Program, Stack, StackError
from config.redis_clients import threads_client
from config.settings import Settings
from contract.finding import Finding
from health.engine_state import EngineState, read_states
from health.surroundings import NO_WORKER, engine_finding

TIMEOUT_S = 3.0


def findings(settings: Settings) -> list[Finding]:
    """All findings of the programs and the engines."""
    found = [engine_finding(state, f"engine of {state.worker}") for state in engines(settings)]
    return [*_supervised(settings), *(found or [NO_WORKER])]


def engines(settings: Settings) -> list[EngineState]:
    """What the workers say of their engines; empty where Redis does not answer."""
    with threads_client(settings.redis_address, TIMEOUT_S) as client:
        try:
            return read_states(client, settings)
        except redis.RedisError:
            return []


def _supervised(settings: Settings) -> list[Finding]:
    stack = Stack(settings)
    try:
        pid = stack.pid()
        if pid is None:
            return [Finding("supervisord", False, "it does not run for this home folder", "fennel up")]
        programs = stack.programs()
    except StackError as error:
        return [Finding("supervisord", False, str(error), "fennel status")]
    broken = [_program(stack, one) for one in programs if _is_broken(one)]
    up = sum(one.state == "RUNNING" for one in programs)
    return [Finding("supervisord", True, f"process {pid} keeps {up} programs up"), *broken]


def _is_broken(program: Program) -> bool:
    return program.broken or (program.state == "EXITED" and program.exit_code != 0)


def _program(stack: Stack, program: Program) -> Finding:
    last = [line for line in stack.log_tail(program.name, 20) if line.strip()]
    said = f"; the last line of its log: {last[-1].strip()}" if last else ""
    cure = f"fennel logs {program.name}; when it is mended: fennel restart {program.name}"
    return Finding(program.name, False, f"it is {program.state} (exit code {program.exit_code}){said}", cure)
