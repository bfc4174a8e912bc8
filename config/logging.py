"""How the programs log: one line an event on standard error, for people or as JSON.

Chat text and secrets are never logged at info or above.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Any, TextIO

import structlog

from config.secrets import mask_secrets
from config.sections import LogSettings

HIDDEN = "(hidden)"
SHORTEST_SECRET = 6
"""Shorter ones would hide half of every line, and are none."""


class HidingFormatter(structlog.stdlib.ProcessorFormatter):
    """Takes the settings' own secrets out of whatever is about to be written, whoever put them in."""

    def __init__(self, secrets: Sequence[str], **options: Any) -> None:
        super().__init__(**options)
        self._secrets = [secret for secret in secrets if len(secret) >= SHORTEST_SECRET]

    def format(self, record: logging.LogRecord) -> str:
        """The line, without them."""
        line = super().format(record)
        for secret in self._secrets:
            line = line.replace(secret, HIDDEN)
        return line


def configure_logging(settings: LogSettings, stream: TextIO | None = None, secrets: Sequence[str] = ()) -> None:
    """Set up structlog and the standard library's logging alike; `stream` is standard error unless named.

    `secrets` are never written, wherever they turn up: see `Settings.secrets`.
    """
    out = stream or sys.stderr
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        HidingFormatter(
            secrets,
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_last_processors(settings, colors=out.isatty()),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # The libraries speak up only when something is wrong; at debug they would print what people write.
    root.setLevel(logging.WARNING)
    for ours in ("bot", "cli", "config", "contract", "health", "workers", "__main__"):
        logging.getLogger(ours).setLevel(settings.level.upper())


def _last_processors(settings: LogSettings, *, colors: bool) -> list[structlog.typing.Processor]:
    if settings.format == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False), _masked]
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain), _masked]


def _masked(_logger: structlog.typing.WrappedLogger, _name: str, line: Any) -> str:
    """The line without what looks like a key, whatever brought it there: an error's text, a traceback."""
    return mask_secrets(str(line))
