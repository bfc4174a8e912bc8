"""The SDK's WebSocket client without the rest of the SDK.

``import lark_oapi`` runs 10 000 modules, one for each object of Lark's whole API: seconds, and 130 MB. Its WebSocket
client needs 65 of them, and the dispatcher of events only as the name of a type. So that client is imported with empty
packages in the place of those whose ``__init__`` would draw in everything. docs/adr/0007-lark-sdk-in-part.md
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import importlib.util
import sys
import threading
from importlib.metadata import version
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import requests

from bot.platform import PlatformError

WANTED = ("_connect", "_disconnect", "_handle_data_frame", "_handle_message", "_write_message", "_combine", "start")
"""What we use of the client beyond its constructor."""
DISCOVERY_TIMEOUT_S = (5.0, 10.0)
"""To connect, and between two bytes."""
_CLIENT, _DISPATCHER = "lark_oapi.ws.client", "lark_oapi.event.dispatcher_handler"
_EMPTY = ("lark_oapi", "lark_oapi.event", "lark_oapi.ws")
_importing = threading.Lock()


@functools.cache
def ws_client() -> Any:
    """The module ``lark_oapi.ws.client``; its discovery call has a timeout, which the SDK's has not.

    Raises ModuleNotFoundError where the SDK is not installed, PlatformError where it is another than we know.
    """
    with _importing:
        try:
            module = _import_client()
        except (ImportError, AttributeError) as error:
            if isinstance(error, ModuleNotFoundError) and error.name == "lark_oapi":
                raise
            raise PlatformError(f"lark-oapi {version('lark-oapi')} cannot be used: {error}") from error
    if lacking := [name for name in WANTED if not hasattr(module.Client, name)]:
        raise PlatformError(f"lark-oapi {version('lark-oapi')} cannot be used: its client has no {lacking[0]}")
    bounded = SimpleNamespace(post=functools.partial(requests.post, timeout=DISCOVERY_TIMEOUT_S))
    module.requests = bounded
    module.loop = _ThreadsLoop()
    return module


class _ThreadsLoop:
    """The loop of whichever thread asks. The SDK keeps one for all its clients, and one that hung in a call would go on
    in the loop of the one that was built in its place: a second connection, which nobody ends.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio.get_event_loop(), name)


def _import_client() -> Any:
    if "lark_oapi" in sys.modules:
        return importlib.import_module(_CLIENT)
    try:
        _put_empty_packages()
        return importlib.import_module(_CLIENT)
    finally:
        # The empty packages must not pass for the SDK. The modules below stay: they import each other while they run.
        for name in (*_EMPTY, _DISPATCHER, _CLIENT):
            sys.modules.pop(name, None)


def _put_empty_packages() -> None:
    spec = importlib.util.find_spec("lark_oapi")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'lark_oapi'", name="lark_oapi")
    root = Path(spec.submodule_search_locations[0])
    for name in _EMPTY:
        package = ModuleType(name)
        package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = package
    dispatcher = ModuleType(_DISPATCHER)
    dispatcher.EventDispatcherHandler = object  # type: ignore[attr-defined]
    sys.modules[_DISPATCHER] = dispatcher
