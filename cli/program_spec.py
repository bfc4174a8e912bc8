"""What supervisord.conf says of each program, for those who start it without supervisord."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from supervisor.datatypes import RestartUnconditionally
from supervisor.options import ServerOptions


@dataclass(frozen=True, slots=True)
class ProgramSpec:
    """How a program is started, and when it is started again; `priority`: the lowest starts first and stops last."""

    name: str
    group: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    priority: int
    autostart: bool
    restarts_always: bool
    good_codes: tuple[int, ...]
    stop_wait_s: float


def read_specs(config_file: Path, environment: Mapping[str, str]) -> list[ProgramSpec]:
    """The programs in the order in which they start; `environment` is what supervisord would be started with."""
    options = ServerOptions()
    options.environ_expansions = {f"ENV_{name}": value for name, value in environment.items()}
    options.realize(["-c", str(config_file)], progname="supervisord")
    specs = [
        ProgramSpec(
            name=config.name,
            group=group.name,
            command=tuple(shlex.split(config.command)),
            environment=config.environment,
            priority=config.priority,
            autostart=config.autostart,
            restarts_always=config.autorestart is RestartUnconditionally,
            good_codes=tuple(config.exitcodes),
            stop_wait_s=float(config.stopwaitsecs),
        )
        for group in options.process_group_configs
        if not hasattr(group, "buffer_size")  # an event listener is supervisord's own
        for config in group.process_configs
    ]
    return sorted(specs, key=lambda spec: spec.priority)
