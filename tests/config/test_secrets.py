"""What looks like a key is masked, and nothing else is."""

from __future__ import annotations

import io
import logging
import time

import pytest
import structlog

from config.logging import configure_logging
from config.secrets import MASK, mask_secrets
from config.sections import LogSettings

# Put together here, so that no scanner of this repository takes them for real ones.
KEYS = {
    "aws": "AKIA" + "IOSFODNN7EXAMPLE",
    "github": "ghp_" + "a1B2" * 9,
    "gitlab": "glpat-" + "x9Y8" * 5,
    "slack bot": "xoxb-" + "1234567890-" * 2 + "abcdefghij",
    "slack app": "xapp-" + "1-A0123456-7890-abcdef",
    "jwt": "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0In0." + "c2lnbmF0dXJlc2ln",
    "stripe": "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",
    "sendgrid": "SG." + "a" * 22 + "." + "b" * 43,
    "telegram": "123456789:" + "A" * 35,
    "password in an address": "https://ann:" + "hunter2hunter2@example.com/db",
    "private key": "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEow\nIBAAK\n-----END RSA " + "PRIVATE KEY-----",
    "open private key": "-----BEGIN " + "PRIVATE KEY-----\nMIIEow\nIBAAK",
}
BODIES = {name: key.splitlines()[1] if "\n" in key else key[-12:-4] for name, key in KEYS.items()}


@pytest.mark.parametrize("name", KEYS)
def test_a_key_is_masked_whole(name: str) -> None:
    """Whatever stands around it stays, nothing of the key does."""
    masked = mask_secrets(f"Use {KEYS[name]}\n")
    assert MASK in masked
    assert masked.startswith("Use ")
    assert BODIES[name] not in masked.replace("example.com/db", "")


@pytest.mark.parametrize(
    "text",
    [
        "The password has 12 characters at least; api_key is a setting.",
        "q-526856723cfbd70a052e9a2dd47d3df4 was shown",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "https://docs.example.com/a-very-long-path-with-many-words/index.html#section",
        "FENNEL_SLACK__BOT_TOKEN, FENNEL_WECOM__AES_KEY",
        "年假为三十天，密码至少 12 位。",
        "550e8400-e29b-41d4-a716-446655440000",
    ],
)
def test_what_is_no_key_stays(text: str) -> None:
    """Hashes, ids, long names and talk about passwords are not touched."""
    assert mask_secrets(text) == text


@pytest.mark.usefixtures("logging_as_before")
@pytest.mark.parametrize("format_", ["console", "json"])
def test_a_log_shows_no_key(format_: str) -> None:
    """Neither a field, nor a message, nor a traceback of ours or of a library."""
    out = io.StringIO()
    configure_logging(LogSettings(level="debug", format=format_), out)
    try:
        raise ValueError(KEYS["github"])
    except ValueError:
        structlog.get_logger("bot.test").exception(KEYS["slack bot"], token=KEYS["jwt"])
        logging.getLogger("library").error("broke with %s", KEYS["aws"])
    assert out.getvalue().count(MASK) >= 4
    assert not any(BODIES[name] in out.getvalue() for name in ("github", "slack bot", "jwt", "aws"))


def test_looking_costs_little() -> None:
    """A page without a key is looked through in less than a few milliseconds, however its words are made up."""
    for page in ("lorem ipsum " * 2_000, "a" * 24_000, "://" * 8_000, "aws" * 8_000, "eyJ" * 8_000):
        start_s = time.perf_counter()
        mask_secrets(page)
        assert time.perf_counter() - start_s < 2.0
