"""``python -m cli.dashboard``: RQ's dashboard on loopback, behind a password, unable to delete.

It shows the text of questions to whoever has the password.
"""

from __future__ import annotations

import importlib.util
import os
import sys

from config.environment import environment_with
from config.loading import load_settings
from config.settings import Settings
from contract.errors import FennelError
from health.parent import end_with_parent

LOOPBACK = "127.0.0.1"


def main() -> int:
    """Become the dashboard; returns an exit code where it does not."""
    try:
        settings = load_settings()
    except FennelError as error:
        print(f"fennel: {error}", file=sys.stderr)
        return 1
    reason = why_not(settings)
    if reason:
        print(f"{reason}.", file=sys.stderr)
        return 0
    end_with_parent()
    command = [sys.executable, "-m", "rq_dashboard", *options(settings)]
    return os.execve(command[0], command, secrets(settings))  # noqa: S606 -- no shell is wanted


def why_not(settings: Settings) -> str:
    """Why it does not start, and what to do; empty where it does."""
    if not settings.dashboard.enabled:
        return "the dashboard is off: FENNEL_DASHBOARD__ENABLED=true switches it on"
    if not settings.dashboard.password.get_secret_value():
        return "the dashboard shows people's questions: set FENNEL_DASHBOARD__PASSWORD first"
    if importlib.util.find_spec("rq_dashboard") is None:
        return "rq-dashboard is not installed: pip install 'fennel[dashboard]'"
    return ""


def options(settings: Settings) -> list[str]:
    """Its arguments. Without --json it would unpickle whatever stands in Redis."""
    port = str(settings.dashboard.port)
    return ["--json", "--bind", LOOPBACK, "--port", port, "--disable-delete", "--username", settings.dashboard.username]


def secrets(settings: Settings) -> dict[str, str]:
    """Its environment: arguments can be seen by every user of the machine."""
    return environment_with(
        RQ_DASHBOARD_PASSWORD=settings.dashboard.password.get_secret_value(),
        RQ_DASHBOARD_REDIS_URL=settings.redis_address.url_with_password,
    )


if __name__ == "__main__":
    sys.exit(main())
