"""What Slack's SDK logs, without what must not be logged."""

from __future__ import annotations

import logging
import re

_TICKET = re.compile(r"ticket=[^&\s'\"]+")


class OneLine(logging.Filter):
    """The SDK's log without tracebacks and tickets: a link that breaks is no fault of ours."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let each record pass, shortened."""
        record.msg, record.args = _TICKET.sub("ticket=…", record.getMessage()), ()
        record.exc_info = record.exc_text = None
        return True


def sdk_logger() -> logging.Logger:
    """The logger for the SDK; below warning it would print what people write."""
    logger = logging.getLogger(__name__)
    logger.setLevel(logging.WARNING)
    if not logger.filters:
        logger.addFilter(OneLine())
    return logger
