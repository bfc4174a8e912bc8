"""``python -m pages``: write the generated parts of the documentation anew; ``--check`` only tells which are old."""

from __future__ import annotations

import argparse
import sys

from config.environment import CHECKOUT
from pages.blocks import MEASURED, filled, pages_with_blocks


def main(arguments: list[str] | None = None) -> int:
    """Write the pages; with ``--check``, write nothing and return 1 where one is old."""
    parser = argparse.ArgumentParser(prog="python -m pages", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 where a page is old")
    options = parser.parse_args(arguments)
    leave = MEASURED if options.check else ()
    texts = {page: page.read_text(encoding="utf-8") for page in pages_with_blocks()}
    old = [page for page, text in texts.items() if filled(text, leave) != text]
    for page in old:
        name = page.relative_to(CHECKOUT)
        if options.check:
            print(f"{name} is old: `make pages` writes it anew, then commit it.", file=sys.stderr)
        else:
            page.write_text(filled(texts[page]), encoding="utf-8")
            print(f"{name} is written anew.")
    return 1 if old and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
