"""``python -m tests.fakes.lark --port 0``: print the settings that point a bot here, and serve until interrupted."""

from __future__ import annotations

import argparse

from tests.fakes.lark.fake import FakeLark
from tests.fakes.server import run_alone


def main() -> None:
    """Serve alone."""
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.lark", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 lets the system choose")
    parser.add_argument(
        "--time-scale", type=float, default=1.0, help="how long a second of the platform lasts, in seconds"
    )
    parser.add_argument("--webhook-url", help="post events there, not over the long connection")
    arguments = parser.parse_args()
    fake = FakeLark(time_scale=arguments.time_scale, port=arguments.port)
    fake.webhook_url = arguments.webhook_url
    run_alone(fake)


if __name__ == "__main__":
    main()
