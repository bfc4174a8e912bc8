"""``python -m tests.fakes.slack --port 0``: serve the fake and print the settings that point Fennel at it."""

from __future__ import annotations

import argparse

from tests.fakes.server import run_alone
from tests.fakes.slack.fake import FakeSlack


def main() -> None:
    """Read the command line and serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.slack", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 lets the system choose")
    parser.add_argument(
        "--time-scale", type=float, default=1.0, help="how long one second of Slack's clocks lasts, in seconds"
    )
    parser.add_argument(
        "--no-rate-limits", action="store_true", help="write calls above a rate down, but do not refuse them"
    )
    parser.add_argument("--events-url", help="deliver events to this URL over HTTP instead of Socket Mode")
    options = parser.parse_args()
    server = FakeSlack(
        port=options.port,
        time_scale=options.time_scale,
        enforce_rates=not options.no_rate_limits,
        events_url=options.events_url,
    )
    run_alone(server)


if __name__ == "__main__":
    main()
