"""What ``fennel doctor lark`` finds out: the settings, the app, its bot, its permissions, and the way of events."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from bot.platform import PlatformError
from bot.platforms.lark import secret_is_safe
from bot.platforms.lark.api import LarkApi
from bot.platforms.lark.errors import SECRET_WRONG, LarkRefusedError
from config.platform_sections import LarkSettings
from config.settings import Settings
from contract.finding import Finding

TIMEOUT_S = 8.0
CONSOLES = {"open.feishu.cn": "Feishu", "open.larksuite.com": "Lark"}
NEEDED = (
    "im:message.group_at_msg:readonly",
    "im:message.p2p_msg:readonly",
    "im:message:send_as_bot",
    "im:message:update",
    "im:message:readonly",
    "im:message:recall",
    "cardkit:card:write",
)
"""As docs/lark.md lists them."""
COVERS = "im:message"
"""A permission that stands for all those of `NEEDED` that begin with it."""
WORTHWHILE = {
    "im:message.group_msg": "follow-ups need a mention, and what was sent before a crash is not looked up",
    "contact:user.base:readonly": "Fennel does not know the names of people",
}
GRANTED, INSTALLED = 1, 2
"""`grant_status` of a permission, `activate_status` of a bot."""


async def findings(settings: Settings) -> list[Finding]:
    """Look at everything that Lark needs, one finding each, the foundations first; no finding names a secret."""
    lark = settings.lark
    found = [one for one in (_missing(lark), _webhook_secrets(lark)) if one]
    domain = _domain(lark)
    found.append(domain)
    if not domain.is_well or not (lark.app_id and lark.app_secret.get_secret_value()):
        return found
    api = LarkApi(lark.domain.rstrip("/"), lark.app_id, lark.app_secret.get_secret_value(), timeout_s=TIMEOUT_S)
    try:
        looked = await _app(api)
        found += looked
        if looked[0].is_well:
            found.append(await _told("permissions", lambda: _permissions(api)))
        if lark.mode == "webhook":
            found.append(await _webhook(lark))
        elif looked[0].is_well:
            found.append(await _told("long connection", lambda: _long_connection(api)))
    finally:
        await api.close()
    return found


def _missing(lark: LarkSettings) -> Finding | None:
    values = {"FENNEL_LARK__APP_ID": lark.app_id, "FENNEL_LARK__APP_SECRET": lark.app_secret.get_secret_value()}
    names = [name for name, value in values.items() if not value]
    if not names:
        return None
    cure = "Copy it from the console's page Credentials & Basic Info into .env (docs/lark.md, step 4)."
    return Finding("settings", False, f"{' and '.join(names)} is not set.", cure)


def _webhook_secrets(lark: LarkSettings) -> Finding | None:
    """In webhook mode: without both anybody could write in other people's names, so that the bot does not start."""
    if lark.mode != "webhook":
        return None
    values = {
        "FENNEL_LARK__VERIFICATION_TOKEN": lark.verification_token.get_secret_value(),
        "FENNEL_LARK__ENCRYPT_KEY": lark.encrypt_key.get_secret_value(),
    }
    names = [name for name, value in values.items() if not value]
    if not names:
        return Finding("webhook secrets", True, "The verification token and the encrypt key are set.")
    cure = "Set an encrypt key on the console's page Events & Callbacks, Encryption strategy, and copy both into .env."
    return Finding("webhook secrets", False, f"Webhook mode needs {' and '.join(names)}, which is not set.", cure)


def _domain(lark: LarkSettings) -> Finding:
    if not secret_is_safe(lark.domain):
        cure = "Set https://open.feishu.cn or https://open.larksuite.com: the app's secret goes there."
        return Finding("domain", False, f"FENNEL_LARK__DOMAIN={lark.domain} is not an https address.", cure)
    console = CONSOLES.get(urlsplit(lark.domain).hostname or "", "neither Feishu's nor Lark's own")
    return Finding("domain", True, f"The app is looked for at {lark.domain} ({console}).")


async def _told(subject: str, look: Callable[[], Awaitable[Finding]]) -> Finding:
    """What a look tells, or why Lark could not be asked."""
    try:
        return await look()
    except LarkRefusedError as error:
        return Finding(subject, False, f"{error}.", "Do what the sentence says; the codes are explained by Lark.")
    except PlatformError as error:
        return Finding(subject, False, f"{error}.", "Check the network and FENNEL_LARK__DOMAIN, then look again.")


async def _app(api: LarkApi) -> list[Finding]:
    """The app's secret, and its bot where the secret is right."""
    try:
        bot = (await api.call("GET", "/open-apis/bot/v3/info")).get("bot") or {}
    except LarkRefusedError as error:
        if error.code in SECRET_WRONG:
            cure = "Copy both again; the domain has to be that of the console that the app is in."
            return [Finding("app secret", False, f"{error}.", cure)]
        cure = "Add the feature Bot in the console and publish a version (docs/lark.md, steps 2 and 7)."
        return [Finding("app secret", True, "Lark takes it."), Finding("bot", False, f"{error}.", cure)]
    except PlatformError as error:
        cure = "Check the network and FENNEL_LARK__DOMAIN, then look again."
        return [Finding("domain answers", False, f"{error}.", cure)]
    secret = Finding("app secret", True, "Lark takes it.")
    status = bot.get("activate_status", INSTALLED)
    if status != INSTALLED:
        cure = "Publish a version, and let an administrator approve and enable it (docs/lark.md, step 7)."
        return [secret, Finding("bot", False, f"The bot is not enabled in the organisation (status {status}).", cure)]
    return [secret, Finding("bot", True, f"It is called {bot.get('app_name')}.")]


async def _permissions(api: LarkApi) -> Finding:
    """https://open.feishu.cn/document/server-docs/application-v6/scope/list"""
    scopes = ((await api.call("GET", "/open-apis/application/v6/scopes")).get("data") or {}).get("scopes") or []
    granted = {str(one.get("scope_name")) for one in scopes if one.get("grant_status") == GRANTED}

    def has(name: str) -> bool:
        return name in granted or (COVERS in granted and name.startswith(COVERS))

    lacking = [name for name in NEEDED if not has(name)]
    if lacking:
        cure = "Add it on the console's page Permissions & Scopes and publish a version (docs/lark.md, steps 3 and 7)."
        return Finding("permissions", False, f"The app lacks {', '.join(lacking)}.", cure)
    without = [f"without {name} {what}" for name, what in WORTHWHILE.items() if name not in granted]
    more = f" Optional: {'; '.join(without)}." if without else ""
    return Finding("permissions", True, f"All {len(NEEDED)} that are needed are granted.{more}")


async def _long_connection(api: LarkApi) -> Finding:
    """Whether Lark says where to connect, and that can be reached. It is not opened: it would be given events."""
    address = urlsplit(await api.link_address())
    secure = address.scheme == "wss"
    port = address.port or (443 if secure else 80)
    try:
        context = ssl.create_default_context() if secure else None
        async with asyncio.timeout(TIMEOUT_S):
            _reader, writer = await asyncio.open_connection(address.hostname, port, ssl=context)
        writer.close()
    except (OSError, TimeoutError) as error:
        says = f"{address.hostname}:{port} cannot be reached: {error or 'no answer in time'}."
        cure = "Let WebSockets to it pass, or set FENNEL_LARK__MODE=webhook."
        return Finding("long connection", False, says, cure)
    return Finding("long connection", True, f"Lark gives an address, and {address.hostname}:{port} can be reached.")


async def _webhook(lark: LarkSettings) -> Finding:
    """Whether the bot listens; only Lark can say whether Lark reaches it."""
    place = f"{lark.webhook_host}:{lark.webhook_port}"
    try:
        async with asyncio.timeout(TIMEOUT_S):
            _reader, writer = await asyncio.open_connection(lark.webhook_host, lark.webhook_port)
        writer.close()
    except (OSError, TimeoutError) as error:
        cure = "Start the bot with fennel up; fennel logs says why it does not listen."
        return Finding("webhook", False, f"Nothing listens on {place}: {error or 'no answer in time'}.", cure)
    return Finding("webhook", True, f"Something listens on {place}; whether Lark reaches it, the console says.")
