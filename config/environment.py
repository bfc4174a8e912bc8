"""This process's environment, and the ``.env`` in the checkout: read here and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

from dotenv import dotenv_values

CHECKOUT = Path(__file__).resolve().parent.parent
DOTENV_FILE = CHECKOUT / ".env"
PREFIX = "FENNEL_"
# Not in fennel.toml: where everything is, and which Redis server program `fennel up` runs.
OUTSIDE_THE_FILE = ("FENNEL_HOME", "FENNEL_REDIS_SERVER")
SUPERVISOR_PREFIX = "FENNEL_SUPERVISOR_"
NVIDIA_GPUS = Path("/proc/driver/nvidia/gpus")  # a folder for each, from the driver


def home_folder() -> Path:
    """The folder that FENNEL_HOME names, else ``var`` in the checkout."""
    return Path(_named("FENNEL_HOME") or CHECKOUT / "var").expanduser().absolute()


def setting_names() -> list[str]:
    """The names that are meant for settings, right or wrong."""
    return [
        name
        for name in sorted({*os.environ, *dotenv_values(DOTENV_FILE)})
        if name.startswith(PREFIX) and name not in OUTSIDE_THE_FILE and not name.startswith(SUPERVISOR_PREFIX)
    ]


def redis_server() -> str | None:
    """The server program that FENNEL_REDIS_SERVER names in place of the one that came with Fennel."""
    return _named("FENNEL_REDIS_SERVER")


def environment_with(**added: str) -> dict[str, str]:
    """This process's environment with these added, for a program that it starts."""
    return {**os.environ, **added}


def tell_libraries(**values: str) -> None:
    """Set these in this process's environment, for libraries that are imported afterwards and read nothing else."""
    os.environ.update(values)


def supervised_program() -> str:
    """The name that supervisord gave this process, such as ``worker_0``; empty where a person started it."""
    return os.environ.get(f"{SUPERVISOR_PREFIX}PROGRAM", "")


def take_one_gpu(name: str, processes: int, gpus: Path = NVIDIA_GPUS) -> None:
    """Have a worker and what it starts see one GPU, where `processes` share a machine: each by the number in its name.

    Counts in CUDA_VISIBLE_DEVICES where somebody has set it, else in all that the driver has; more workers than GPUs
    share them. Before anything looks for GPUs.
    """
    number = name.rpartition("_")[2]
    if processes == 1 or not number.isdigit():
        return
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    visible = [one for one in (named or "").split(",") if one.strip()]
    if named is None and gpus.is_dir():
        visible = [str(index) for index, _ in enumerate(gpus.iterdir())]
    if visible:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible[int(number) % len(visible)]


def _named(name: str) -> str | None:
    return os.environ.get(name) or dotenv_values(DOTENV_FILE).get(name) or None
