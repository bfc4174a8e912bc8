"""``python -m workers``: one worker, with its engine process."""

from __future__ import annotations

import argparse
import sys

from config.environment import supervised_program, take_one_gpu
from config.loading import load_settings
from config.logging import configure_logging
from config.redis_users import Role
from contract.errors import FennelError
from health.parent import end_with_parent
from health.tracing import start_tracing


def main() -> int:
    """Run one worker until it is stopped; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m workers", description=__doc__)
    parser.add_argument("--name", default=supervised_program() or "worker_0", help="its name in Redis; must be unique")
    arguments = parser.parse_args()
    try:
        settings = load_settings(Role.WORKER)
        configure_logging(settings.log, secrets=settings.secrets)
        start_tracing(settings, arguments.name)
        take_one_gpu(arguments.name, settings.worker.processes)
        if supervised_program():
            end_with_parent()
        # Imported here, so that a wrong setting is told at once.
        from workers.run import run_worker

        return run_worker(settings, arguments.name)
    except FennelError as error:
        print(f"fennel: {error.told}", file=sys.stderr)
        return 1


# The engine process is spawned: it imports this module again, under another name.
if __name__ == "__main__":
    sys.exit(main())
