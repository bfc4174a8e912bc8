"""The `fennel` of this checkout, as a command."""

from __future__ import annotations

import sys

FENNEL = [sys.executable, "-c", "from cli.main import main; main()"]
