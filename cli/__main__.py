"""``python -m cli``: the command `fennel`, by the interpreter that is named."""

from __future__ import annotations

from cli.main import main

if __name__ == "__main__":
    main()
