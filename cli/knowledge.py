"""What the commands of `fennel kb` share: the knowledge base that is meant, and the opened store."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import click

from config.loading import load_settings

if TYPE_CHECKING:
    from workers.knowledge.embedder import Embedder
    from workers.knowledge.store import Store

BASE_OPTION = click.option(
    "--kb", "--base", "base", default="default", show_default=True, metavar="BASE", help="The knowledge base."
)


@contextmanager
def opened() -> Iterator[tuple[Store, Embedder]]:
    """The store and the embedder of the settings; what they log goes to stderr, as what is printed can be piped on."""
    import structlog

    from workers.knowledge.embedder import open_embedder
    from workers.knowledge.store import open_store

    # At each line anew: a test's stderr is another one for each command.
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    settings = load_settings()
    settings.make_folders()
    embedder = open_embedder(settings.knowledge.embedder)
    with closing(open_store(settings, embedder)) as store:
        yield store, embedder
