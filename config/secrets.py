"""Secrets that look like keys, found by the patterns of detect-secrets and masked: in logs, and before text is indexed.

Only patterns with a form of their own are used. Guessing by randomness, or by a word such as "password" before it,
would take half of a handbook away.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Iterable

MASK = "‹secret›"
_PLUGINS = {
    "aws": "AWSKeyDetector",
    "azure_storage_key": "AzureStorageKeyDetector",
    "basic_auth": "BasicAuthDetector",
    "cloudant": "CloudantDetector",
    "discord": "DiscordBotTokenDetector",
    "github_token": "GitHubTokenDetector",
    "gitlab_token": "GitLabTokenDetector",
    "mailchimp": "MailchimpDetector",
    "npm": "NpmDetector",
    "openai": "OpenAIDetector",
    "pypi_token": "PypiTokenDetector",
    "sendgrid": "SendGridDetector",
    "slack": "SlackDetector",
    "square_oauth": "SquareOAuthDetector",
    "stripe": "StripeDetector",
    "telegram_token": "TelegramBotTokenDetector",
    "twilio": "TwilioKeyDetector",
}
# detect-secrets finds the first line of a private key; what has to go is all of it.
_PRIVATE_KEY = re.compile(
    r"-----BEGIN ([A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?)-----.*?(?:-----END \1-----|\Z)|PuTTY-User-Key-File-2[^\n]*",
    re.DOTALL,
)
_MORE = (
    # Slack's tokens of apps and those that are refreshed, which detect-secrets does not know.
    re.compile(r"\bx(?:app|oxe|oxe\.xox[bp])[-.][A-Za-z0-9-]{10,}"),
    # detect-secrets' pattern stops before the signature.
    re.compile(r"\beyJ[A-Za-z0-9_=-]{8,}\.[A-Za-z0-9_=-]{8,}(?:\.[A-Za-z0-9_=-]*)?"),
)
# What every one of the patterns needs: without it nothing is looked for. A question's id is no secret.
_SUSPECT = re.compile(
    r"(?<![A-Za-z0-9_+=-])(?!q-[0-9a-f]{32}(?![A-Za-z0-9_+=-]))[A-Za-z0-9_+=-]{20,}|"
    r"://[^/\s]+@|\bx(?:ox[a-z]|app)[-.]|PRIVATE KEY|PuTTY|_authToken|sk_live|rk_live"
)


def may_hold_secrets(text: str) -> bool:
    """Whether `mask_secrets` would look at the text more closely. Lines count each for itself."""
    return _SUSPECT.search(text) is not None


def mask_secrets(text: str) -> str:
    """The text with a mark in the place of whatever looks like a key."""
    if not may_hold_secrets(text):
        return text
    masked = _PRIVATE_KEY.sub(MASK, text)
    for pattern in _patterns():
        masked = pattern.sub(MASK, masked)
    return masked


@functools.cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    # Imported when something looks suspect: they drag a client for HTTP along, and a bot starts in a second.
    denied: list[re.Pattern[str]] = []
    for module, name in _PLUGINS.items():
        plugin = getattr(importlib.import_module(f"detect_secrets.plugins.{module}"), name)
        denylist: Iterable[re.Pattern[str]] = plugin.denylist
        denied += denylist
    return (*denied, *_MORE)
