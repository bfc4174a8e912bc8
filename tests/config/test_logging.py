"""How the programs log."""

from __future__ import annotations

import io
import json
import logging

import pytest
import structlog

from config.logging import configure_logging
from config.sections import LogSettings

pytestmark = pytest.mark.usefixtures("logging_as_before")


def logged(level: str, form: str) -> str:
    """What an info, a debug and a library's info and warning look like."""
    out = io.StringIO()
    configure_logging(LogSettings.model_validate({"level": level, "format": form}), out)
    structlog.get_logger("bot.x").info("taken in", id="q-1", place="中")
    structlog.get_logger("bot.x").debug("detail")
    logging.getLogger("redis").info("chatter")
    logging.getLogger("redis").warning("trouble of %s", "redis")
    return out.getvalue()


def test_json_has_one_object_a_line() -> None:
    """Each event is one JSON object with its time, level, logger and fields; libraries' warnings are too."""
    ours, theirs = (json.loads(line) for line in logged("info", "json").splitlines())
    assert ours.pop("timestamp").endswith("Z")
    assert ours == {"event": "taken in", "id": "q-1", "place": "中", "level": "info", "logger": "bot.x"}
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("trouble of redis", "warning", "redis")


def test_the_level_is_ours_alone() -> None:
    """Debug shows our own details, and never what a library would print of people's words."""
    shown = logged("debug", "console")
    assert "detail" in shown
    assert "chatter" not in shown
    assert "trouble of redis" in logged("error", "console")
    assert "taken in" not in logged("warning", "console")


def test_a_secret_is_never_written() -> None:
    """In an event, a field or a traceback, ours or a library's, in either form; short ones are no secrets."""
    for form in ("json", "console"):
        out = io.StringIO()
        configure_logging(
            LogSettings.model_validate({"level": "info", "format": form}), out, ["xoxb-planted", "key", 'p"q-planted']
        )
        structlog.get_logger("bot.x").info("using xoxb-planted", token="xoxb-planted", key="value")
        logging.getLogger("redis").warning("url %s", "redis://:xoxb-planted@host")
        try:
            raise ValueError("xoxb-planted")
        except ValueError:
            structlog.get_logger("bot.x").exception("failed")
        shown = out.getvalue()

        assert "planted" not in shown
        assert shown.count("(hidden)") >= 4
        assert "value" in shown


def test_an_exception_is_logged_with_its_traceback() -> None:
    """A fault can be found from the log, in either form."""
    for form in ("json", "console"):
        out = io.StringIO()
        configure_logging(LogSettings.model_validate({"level": "info", "format": form}), out)
        try:
            raise ValueError("broken")
        except ValueError:
            structlog.get_logger("bot.x").exception("it broke")
        assert "Traceback" in out.getvalue()
        assert "ValueError: broken" in out.getvalue()
