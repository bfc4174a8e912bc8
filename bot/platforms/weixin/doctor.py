"""What ``fennel doctor weixin`` finds out: whether somebody has logged in, who may read that, and whether it holds."""

from __future__ import annotations

from bot.platform import PlatformError
from bot.platforms.weixin.api import OK, ILinkApi, LoginOverError, ret_of
from bot.platforms.weixin.session import SessionFile
from config.settings import Settings
from contract.finding import Finding

TIMEOUT_S = 8.0
LOG_IN = "Run python -m bot weixin in a terminal and scan the code with your phone."


async def findings(settings: Settings) -> list[Finding]:
    """Look at the login, one finding each thing; no finding names a secret."""
    sessions = SessionFile(settings.home / "weixin" / "session.json")
    try:
        session = sessions.load()
    except PlatformError as error:
        return [Finding("login", False, f"{error}.", f"Delete {sessions.path}, then: {LOG_IN}")]
    if session is None:
        return [Finding("login", False, "Nobody has logged in to WeChat.", LOG_IN)]
    found = []
    if sessions.path.stat().st_mode & 0o077:
        found.append(
            Finding("login file", False, f"Others can read {sessions.path}.", f"Run chmod 600 {sessions.path}.")
        )
    api = ILinkApi(session.base_url, session.token)
    try:
        # The one call with a login that takes nothing from a bot that is running.
        answer = await api.post("getconfig", {"ilink_user_id": session.bot_id}, TIMEOUT_S)
    except LoginOverError:
        return [*found, Finding("login", False, "WeChat has ended this login.", LOG_IN)]
    except PlatformError as error:
        return [*found, Finding("login", False, f"{error}.", f"Let {session.base_url} pass, then look again.")]
    finally:
        await api.close()
    if ret_of(answer) != OK:
        return [*found, Finding("login", True, f"WeChat knows the login, and answers {ret_of(answer)}.")]
    return [*found, Finding("login", True, "WeChat knows the login.")]
