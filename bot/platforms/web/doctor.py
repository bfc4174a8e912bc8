"""What ``fennel doctor web`` finds out: whether the page may be open as it is set, and whether it is."""

from __future__ import annotations

import asyncio
import socket
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, build_opener

from bot.platform import PlatformError
from bot.platforms.web.passwords import check_settings, is_loopback
from config.settings import Settings
from contract.finding import Finding

TIMEOUT_S = 5.0
MAKE_ONE = "Run fennel web password, and put what it prints into .env."


async def findings(settings: Settings) -> list[Finding]:
    """Look at the passwords and at the port, one finding each; no finding names a secret."""
    try:
        check_settings(settings.web)
    except PlatformError as error:
        return [Finding("password", False, f"{error}.", MAKE_ONE)]
    return [_password(settings), await asyncio.to_thread(_page, settings)]


def _password(settings: Settings) -> Finding:
    web = settings.web
    if web.password_hash.get_secret_value():
        tabs = "open with their own password" if web.operator_hash.get_secret_value() else "are shown to nobody"
        return Finding("password", True, f"A password is wanted; the operators' tabs {tabs}.")
    return Finding("password", True, "The page is for this machine alone, and wants no password.")


def _page(settings: Settings) -> Finding:
    """Whether the page answers; where nothing does, whether its port is free."""
    web = settings.web
    host = web.host if is_loopback(web.host) else "127.0.0.1"
    shown = f"[{host}]" if ":" in host else host
    try:
        with build_opener(ProxyHandler({})).open(f"http://{shown}:{web.port}/enter", timeout=TIMEOUT_S) as answer:
            is_ours = b"Fennel" in answer.read(4_096)
    except HTTPError as error:
        is_ours = error.code == 503
    except (URLError, OSError):
        return _port(web.host, web.port)
    if is_ours:
        return Finding("page", True, f"It is open at http://{shown}:{web.port}/.")
    return Finding(
        "page", False, f"Another program answers at port {web.port}.", "Set FENNEL_WEB__PORT to another port."
    )


def _port(host: str, port: int) -> Finding:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host.strip("[]"), port), family=family).close()
    except OSError as error:
        says = f"It cannot listen at {host}:{port} ({error.strerror or error})."
        return Finding("page", False, says, "Set FENNEL_WEB__PORT or FENNEL_WEB__HOST to what this machine has.")
    return Finding("page", True, f"It is not open now; its port {port} is free.")
