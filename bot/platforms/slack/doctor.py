"""What ``fennel doctor slack`` finds out: the settings, both tokens, the scopes, the link and the channels."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.platforms.slack.missed import CHANNEL_TYPES
from bot.platforms.slack.sdk_log import sdk_logger
from config.platform_sections import SlackSettings
from config.settings import Settings
from contract.finding import Finding

SCOPES = frozenset(
    {
        "app_mentions:read",
        "channels:history",
        "channels:read",
        "chat:write",
        "groups:history",
        "groups:read",
        "im:history",
        "im:read",
        "mpim:history",
        "mpim:read",
        "reactions:write",
    }
)
"""What the app manifest in docs/slack.md asks for."""
OPTIONAL_SCOPES = frozenset({"users:read"})
TIMEOUT_S = 10.0
PAGE = 200
CHANNELS_NAMED = 5
WRONG_TOKEN = frozenset(
    {"invalid_auth", "not_authed", "not_allowed_token_type", "account_inactive", "token_revoked", "token_expired"}
)


class _NoAnswerError(Exception):
    """Slack could not be asked; the text says why."""


@dataclass(frozen=True, slots=True)
class _Asker:
    """Asks Slack with one token, once a question."""

    session: aiohttp.ClientSession
    settings: SlackSettings

    def client(self, token: str = "") -> AsyncWebClient:
        """The SDK's client, which takes a proxy from the environment."""
        return AsyncWebClient(
            token=token,
            base_url=self.settings.api_url,
            session=self.session,
            retry_handlers=[],
            logger=sdk_logger(),
        )

    async def ask(self, method: str, token: str, **arguments: Any) -> AsyncSlackResponse:
        """Slack's answer, also one that refuses. Raises _NoAnswerError."""
        try:
            return await self.client(token).api_call(method, params=arguments)
        except SlackApiError as error:
            response = error.response
            if isinstance(response, AsyncSlackResponse) and response.get("error"):
                return response
            status = response.status_code if isinstance(response, AsyncSlackResponse) else response.status
            raise _NoAnswerError(f"Slack answered {status}") from error
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise _NoAnswerError(f"Slack cannot be reached at {self.settings.api_url}: {_why(error)}") from error


async def findings(settings: Settings) -> list[Finding]:
    """Look at everything that Slack needs, one finding each; no finding names a secret."""
    slack = settings.slack
    missing = _missing(slack)
    found = [missing] if missing else []
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        asker = _Asker(session, slack)
        if slack.bot_token.get_secret_value():
            found += await _told("bot token", lambda: _bot_token(asker))
        if slack.mode == "http":
            found += await _told("link", lambda: _http_link(asker))
        elif slack.app_token.get_secret_value():
            found += await _told("app token", lambda: _app_token(asker))
    return found


async def _told(subject: str, look: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
    try:
        return await look()
    except _NoAnswerError as error:
        cure = "Check the network, HTTPS_PROXY and FENNEL_SLACK__API_URL, then look again."
        return [Finding(subject, False, f"{error}.", cure)]


def _missing(slack: SlackSettings) -> Finding | None:
    """The secrets that the mode needs and that are not set."""
    needed = ["bot_token", "signing_secret" if slack.mode == "http" else "app_token"]
    names = [f"FENNEL_SLACK__{key.upper()}" for key in needed if not getattr(slack, key).get_secret_value()]
    if not names:
        return None
    says = f"In {slack.mode} mode Slack needs {' and '.join(names)}, and that is not set."
    where = "Basic Information" if names[-1].endswith("SECRET") else "Install App and Basic Information"
    return Finding("slack settings", False, says, f"Copy it from the app's page {where} into .env (docs/slack.md).")


async def _bot_token(asker: _Asker) -> list[Finding]:
    token = asker.settings.bot_token.get_secret_value()
    response = await asker.ask("auth.test", token)
    if response.get("error"):
        return [_refused_token("bot token", response["error"], "FENNEL_SLACK__BOT_TOKEN", "xoxb-", "Install App")]
    says = f"Slack knows it as {response.get('user')} in the workspace {response.get('team')}."
    granted = {scope.strip() for scope in str(_header(response, "x-oauth-scopes")).split(",")} - {""}
    channels = await _channels(asker, token, str(response.get("user")))
    return [Finding("bot token", True, says), _scopes(granted), channels]


def _scopes(granted: set[str]) -> Finding:
    missing = sorted(SCOPES - granted)
    if missing:
        says = f"The bot token has not got {', '.join(missing)}."
        cure = "Add it on the app's page OAuth & Permissions under Bot Token Scopes, then install the app again."
        return Finding("scopes", False, says, cure)
    beyond = sorted(granted - SCOPES - OPTIONAL_SCOPES)
    more = f" Fennel does not need {', '.join(beyond)}." if beyond else ""
    return Finding("scopes", True, f"All {len(SCOPES)} that are needed are granted.{more}")


async def _channels(asker: _Asker, token: str, user: str) -> Finding:
    """The channels that the bot hears: those that it was invited to."""
    names: list[str] = []
    cursor = ""
    while True:
        paging = {"types": CHANNEL_TYPES, "exclude_archived": "1", "limit": PAGE}
        response = await asker.ask("users.conversations", token, **paging, **({"cursor": cursor} if cursor else {}))
        if response.get("error"):
            says = f"The channels that the bot is in cannot be listed: {response['error']}."
            return Finding("channels", False, says, "Grant the missing scopes; what is missed while away is not found.")
        names += [f"#{channel['name']}" for channel in response["channels"] if not channel.get("is_im")]
        cursor = (response.get("response_metadata") or {}).get("next_cursor") or ""
        if not cursor:
            break
    if not names:
        cure = f"Write /invite @{user} in a channel."
        return Finding("channels", False, "The bot is in no channel and hears direct messages only.", cure)
    more = f" and {len(names) - CHANNELS_NAMED} more" if len(names) > CHANNELS_NAMED else ""
    return Finding("channels", True, f"The bot hears {', '.join(names[:CHANNELS_NAMED])}{more}.")


async def _app_token(asker: _Asker) -> list[Finding]:
    response = await asker.ask("apps.connections.open", asker.settings.app_token.get_secret_value())
    error = response.get("error")
    if error == "missing_scope":
        cure = "Generate a new token with connections:write on the app's page Basic Information, App-Level Tokens."
        return [Finding("app token", False, "The app token has not got the scope connections:write.", cure)]
    if error:
        return [_refused_token("app token", error, "FENNEL_SLACK__APP_TOKEN", "xapp-", "Basic Information")]
    return [Finding("app token", True, "Slack takes it for Socket Mode."), await _socket(asker, response["url"])]


async def _socket(asker: _Asker, url: str) -> Finding:
    """Open the link as the bot would, until Slack says hello. An event that comes meanwhile comes again."""
    try:
        async with asyncio.timeout(TIMEOUT_S), asker.session.ws_connect(url, proxy=asker.client().proxy) as link:
            frame = await link.receive_json()
    except aiohttp.WSServerHandshakeError as error:
        return _no_link(f"Slack refuses the link with status {error.status}.")
    except (aiohttp.ClientError, TimeoutError, TypeError, ValueError) as error:
        return _no_link(f"The link does not open: {_why(error)}.")
    if frame.get("type") == "hello":
        number = frame.get("num_connections", 1)
        others = f" {number - 1} more of this app are open." if number > 1 else ""
        return Finding("link", True, f"The link opens and Slack says hello.{others}")
    if frame.get("reason") == "link_disabled":
        cure = "Switch it on on the app's page Socket Mode, or set FENNEL_SLACK__MODE=http."
        return Finding("link", False, "Socket Mode is switched off in the app's settings.", cure)
    return _no_link(f"Slack closes the link at once: {frame.get('reason')}.")


def _no_link(says: str) -> Finding:
    cure = "Let WebSockets to wss-primary.slack.com pass (HTTPS_PROXY is used), or set FENNEL_SLACK__MODE=http."
    return Finding("link", False, says, cure)


async def _http_link(asker: _Asker) -> list[Finding]:
    """Whether the bot listens; only Slack can say whether Slack reaches it."""
    address = f"{asker.settings.http_host}:{asker.settings.http_port}"
    try:
        async with asyncio.timeout(TIMEOUT_S):
            _reader, writer = await asyncio.open_connection(asker.settings.http_host, asker.settings.http_port)
        writer.close()
    except (OSError, TimeoutError) as error:
        says = f"Nothing listens on {address}: {_why(error)}."
        return [Finding("link", False, says, "Start the bot with fennel up; fennel logs says why it does not listen.")]
    return [Finding("link", True, f"Something listens on {address}; whether Slack reaches it, its Verified says.")]


def _refused_token(subject: str, error: str, setting: str, prefix: str, page: str) -> Finding:
    says = f"Slack refuses the {subject}: {error}."
    if error not in WRONG_TOKEN:
        return Finding(subject, False, says, "Look the word up at https://docs.slack.dev, then look again.")
    return Finding(subject, False, says, f"Copy the token that begins with {prefix} from {page} into {setting}.")


def _header(response: AsyncSlackResponse, name: str) -> str:
    """One header of an answer; their case is Slack's."""
    return next((value for key, value in response.headers.items() if key.lower() == name), "")


def _why(error: BaseException) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
