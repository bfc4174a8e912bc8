"""``python -m tests.hosts.slow_worker SECONDS``: a worker like any other whose every answer takes so long.

The echo engine answers at once, and a cable has to be pulled in the middle of an answer.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from workers.__main__ import main
from workers.pipeline import Pipeline


def slow_down(answer_s: float) -> None:
    """Have every answer of this process begin so late."""
    quick = Pipeline.answer

    def slow(self: Pipeline, *arguments: Any, **named: Any) -> Any:
        time.sleep(answer_s)
        return quick(self, *arguments, **named)

    Pipeline.answer = slow  # type: ignore[method-assign]


if __name__ == "__main__":
    slow_down(float(sys.argv.pop(1)))
    sys.exit(main())
