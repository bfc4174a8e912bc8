"""``python -m tests.fakes.wecom --port 0``: serve the fake WeCom alone, for a bot in another process."""

import argparse

from tests.fakes.server import run_alone
from tests.fakes.wecom.server import FakeWeCom


def main() -> None:
    """Print the settings, one ``NAME=VALUE`` a line, and serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.wecom", description=main.__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--time-scale", type=float, default=1.0, help="0.01 lets six minutes pass in 3.6 s")
    given = parser.parse_args()
    run_alone(FakeWeCom(port=given.port, time_scale=given.time_scale))


if __name__ == "__main__":
    main()
