"""What ``fennel doctor wecom`` finds out: the settings, whether WeCom lets the bot in, and how the link fared.

WeCom allows a bot one link, and the newest takes it from whoever has it. So the bot's id and secret are tried only
where no bot of ours can be holding it.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

import aiohttp
import psutil
from redis.exceptions import RedisError

from bot.platform import PlatformError
from bot.platforms.wecom.callback_server import PATH
from bot.platforms.wecom.crypto import CallbackCipher
from bot.platforms.wecom.events import PLATFORM
from bot.platforms.wecom.link import OK, TOO_OFTEN, new_req_id
from bot.redis_link import plain_client
from config.platform_sections import WecomSettings
from config.settings import Settings
from contract import names
from contract.finding import Finding

TIMEOUT_S = 8.0
REDIS_TIMEOUT_S = 3.0


async def findings(settings: Settings) -> list[Finding]:
    """Look at everything that WeCom needs, one finding each; no finding names a secret."""
    if settings.wecom.mode == "callback":
        return await _callback(settings.wecom)
    missing = _missing(settings.wecom, "bot_id", "secret")
    return [missing] if missing else await _long_connection(settings)


def _missing(wecom: WecomSettings, *keys: str) -> Finding | None:
    values = {"bot_id": wecom.bot_id} | {key: getattr(wecom, key).get_secret_value() for key in keys if key != "bot_id"}
    unset = [f"FENNEL_WECOM__{key.upper()}" for key in keys if not values[key]]
    if not unset:
        return None
    says = f"In the mode {wecom.mode} WeCom needs {' and '.join(unset)}, and that is not set."
    return Finding("settings", False, says, "Copy it from the bot's page in WeCom into .env (docs/wechat.md).")


# --- long connection


async def _long_connection(settings: Settings) -> list[Finding]:
    try:
        async with asyncio.timeout(REDIS_TIMEOUT_S), plain_client(settings.redis_address) as redis:
            holder: Any = await redis.get(names.bot_lock_key(PLATFORM, settings.wecom.bot_id))
            link: Any = await redis.hgetall(names.wecom_link_key(settings.wecom.bot_id))
    except (RedisError, OSError, TimeoutError):
        return [await _without_redis(settings)]
    found = [_held(link)] if holder else [await _trial(settings.wecom)]
    if float(link.get("gaps_s", 0)):
        says = f"Altogether {float(link['gaps_s']):.0f} s were without a link; what was written then is lost."
        found.append(Finding("gaps", True, says))
    return found


async def _without_redis(settings: Settings) -> Finding:
    """Nobody can tell who holds the link; but a server of our own has no bots on other machines."""
    if not settings.redis.is_embedded or _bot_runs_here():
        says = (
            "Redis does not answer, so that it is not known whether a bot holds the link; a trial would take it away."
        )
        return Finding("link", False, says, "Start Redis, then look again.")
    return await _trial(settings.wecom)


def _bot_runs_here() -> bool:
    """Whether somebody runs ``python -m bot wecom`` on this machine."""
    lines = (process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"]))
    return any(line[-3:] == ["-m", "bot", PLATFORM] for line in lines)


def _held(link: Mapping[str, str]) -> Finding:
    """A bot of ours is running: what it wrote down is all that may be looked at."""
    if "alive_at_s" not in link:
        cure = "Look at fennel logs bot_wecom: it says what WeCom answers."
        return Finding("link", False, "A bot of ours runs and has not come through to WeCom yet.", cure)
    ago_s = max(0.0, time.time() - float(link["alive_at_s"]))
    if ago_s > 90:
        cure = "Look at the network, and at fennel logs bot_wecom."
        return Finding("link", False, f"A bot of ours runs, and its link was alive {ago_s:.0f} s ago.", cure)
    says = f"A bot of ours holds the link, alive {ago_s:.0f} s ago; a trial would take it away, so none was made."
    return Finding("link", True, says)


async def _trial(wecom: WecomSettings) -> Finding:
    """Subscribe and go. A bot elsewhere that has the same id would lose its link to this."""
    frame = {
        "cmd": "aibot_subscribe",
        "headers": {"req_id": new_req_id("aibot_subscribe")},
        "body": {"bot_id": wecom.bot_id, "secret": wecom.secret.get_secret_value()},
    }
    try:
        async with (
            asyncio.timeout(TIMEOUT_S),
            aiohttp.ClientSession() as session,
            session.ws_connect(wecom.ws_url) as socket,
        ):
            await socket.send_json(frame)
            answer = json.loads((await socket.receive()).data)
        errcode = answer.get("errcode", OK)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError, TypeError, AttributeError) as error:
        says = f"WeCom does not answer at {wecom.ws_url}: {_why(error)}."
        cure = "Let wss://openws.work.weixin.qq.com pass; a private deployment sets FENNEL_WECOM__WS_URL."
        return Finding("link", False, says, cure)
    if errcode == OK:
        return Finding("link", True, "WeCom lets the bot in with its id and secret; no bot of ours was running.")
    if errcode in TOO_OFTEN:
        return Finding("link", False, f"WeCom says that was too often ({errcode}).", "Wait a minute, then look again.")
    cure = "Copy Bot ID and Secret from the bot's page, and see that its API mode is the long connection."
    return Finding("link", False, f"WeCom does not let the bot in ({errcode}).", cure)


# --- callback mode


async def _callback(wecom: WecomSettings) -> list[Finding]:
    missing = _missing(wecom, "token", "aes_key")
    if missing:
        return [missing]
    try:
        cipher = CallbackCipher(wecom.token.get_secret_value(), wecom.aes_key.get_secret_value())
    except PlatformError as error:
        return [Finding("keys", False, f"{error}.", "Copy the EncodingAESKey of the bot's page into .env, whole.")]
    found = [Finding("keys", True, "Token and EncodingAESKey have the right shape; only a call can show more.")]
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session:
        found.append(await _verification(session, wecom, cipher))
        found.append(await _api(session, wecom))
    return found


async def _verification(session: aiohttp.ClientSession, wecom: WecomSettings, cipher: CallbackCipher) -> Finding:
    """Verify the address as WeCom does, past the proxy."""
    echo, timestamp, nonce = secrets.token_hex(8), str(int(time.time())), secrets.token_hex(8)
    sealed = cipher.seal(echo)
    query = {"msg_signature": cipher.sign(timestamp, nonce, sealed), "timestamp": timestamp, "nonce": nonce}
    host = "127.0.0.1" if wecom.callback_host == "0.0.0.0" else wecom.callback_host
    address = f"{host}:{wecom.callback_port}"
    try:
        async with session.get(f"http://{address}{PATH}", params=query | {"echostr": sealed}) as response:
            right = response.status == 200 and await response.text() == echo
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        cure = "Start the bot with fennel up; fennel logs bot_wecom says why it does not listen."
        return Finding("callback", False, f"Nothing answers at {address}: {_why(error)}.", cure)
    if right:
        says = f"The bot answers a verification at {address}; whether WeCom reaches it, saving the page shows."
        return Finding("callback", True, says)
    says = f"What listens at {address} does not answer a verification as WeCom wants it ({response.status})."
    return Finding("callback", False, says, "Restart the bot: it may have been started with other keys.")


async def _api(session: aiohttp.ClientSession, wecom: WecomSettings) -> Finding:
    """Late answers go to WeCom's API: any answer of it will do."""
    try:
        async with session.get(wecom.api_url, allow_redirects=False):
            return Finding("late answers", True, f"{wecom.api_url} can be reached.")
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        says = f"{wecom.api_url} cannot be reached: {_why(error)}."
        return Finding("late answers", False, says, "Let it pass: answers of more than five minutes go there.")


def _why(error: BaseException) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
