"""``python -m pages.recording``, or ``make recording``: the picture of a real run that the READMEs show.

It runs `fennel demo` and draws what that printed from the question on, as it was printed.
"""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from config.environment import CHECKOUT, environment_with

FILE = CHECKOUT / "docs" / "demo.svg"
WIDTH = 100
LIMIT_S = 900
BEGINS = "$ fennel ask"


def main() -> int:
    """Run the demo and write the picture; returns the demo's exit code."""
    command = [str(Path(sys.executable).with_name("fennel")), "demo"]
    run = subprocess.run(
        command,
        cwd=CHECKOUT,
        env=environment_with(COLUMNS=str(WIDTH)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
    )
    print(run.stdout, end="")
    if run.returncode == 0:
        FILE.write_text(picture_of(run.stdout), encoding="utf-8")
        print(f"{FILE.relative_to(CHECKOUT)} is written anew.")
    return run.returncode


def picture_of(printed: str) -> str:
    """What a terminal showed from the question on, as an SVG that loads no font from elsewhere."""
    printed = printed[printed.index(BEGINS) :].replace(f"{CHECKOUT}/", "")  # where the checkout is, is nobody else's
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(printed))
    svg = console.export_svg(title="Fennel", theme=MONOKAI)
    # rich names a font at another host; the reader's own monospaced one does.
    start, end = svg.index("@font-face"), svg.rindex("@font-face")
    return svg[:start] + svg[svg.index("}", end) + 1 :]


if __name__ == "__main__":
    sys.exit(main())
