"""Asks the programs of a home folder how they are."""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from config.settings import Settings
from contract.finding import Finding

TIMEOUT_S = 6.0
"""More than a program takes to find out that Redis hangs."""


@dataclass(frozen=True, slots=True)
class ProgramHealth:
    """What a program's `/readyz` said; no findings where it did not answer."""

    program: str
    address: str
    findings: Sequence[Finding] = ()

    @property
    def answers(self) -> bool:
        """Whether the program is there."""
        return bool(self.findings)


def ask_programs(settings: Settings) -> list[ProgramHealth]:
    """Every program that has said where it listens, by name, all asked at once."""
    files = sorted(settings.health_folder.glob("*.json"))
    with ThreadPoolExecutor(max_workers=max(1, len(files))) as pool:
        return [health for health in pool.map(_ask, files) if health]


def _ask(file: Path) -> ProgramHealth | None:
    try:
        (target,) = json.loads(file.read_text())
        address, program = str(target["targets"][0]), str(target["labels"]["program"])
    except (OSError, ValueError, KeyError, IndexError, TypeError):  # it has just ended
        return None
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        body = json.loads(connection.getresponse().read())
        return ProgramHealth(program, address, tuple(Finding(**one) for one in body["findings"]))
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return ProgramHealth(program, address)
    finally:
        connection.close()
