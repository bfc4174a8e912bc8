"""The operators' tabs: made with Gradio, which is imported beside the room once the page is open.

Each tab is an application of its own below its own path, so that the door keeps everybody else out of all of it.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from bot.platforms.web.html_pages import HtmlPages
from bot.platforms.web.look import Look, Reader
from bot.platforms.web.tabs.kb_command import KbCommand
from bot.platforms.web.tabs.sight import Sight
from bot.platforms.web.words import LANGUAGES
from config.environment import tell_libraries
from config.settings import Settings

OPERATORS, KNOWLEDGE = "operators", "knowledge"
LOOK_AGAIN_S = 1
_MANIFEST = b'<link rel="manifest" href="/manifest.json" />'

log = structlog.get_logger(__name__)


class Tabs:
    """Both tabs in each language. `load` makes them; until then they say that they come."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._look: Look | None = None
        self._sight = Sight(settings)
        self._commands = KbCommand(settings)
        self._app: ASGIApp | None = None
        self._is_broken = False
        self._closing = asyncio.Event()
        self._uploads = settings.home / "web" / "incoming"

    def routes(self, look: Look) -> Sequence[BaseRoute]:
        """Where they are; `look` makes what stands around them."""
        self._look = look
        found: list[BaseRoute] = []
        for tab in (OPERATORS, KNOWLEDGE):
            found += [Route(f"/{tab}", _to_language), Route(f"/{tab}/", _to_language)]
            found += [Mount(f"/{tab}/{language}", self._serve) for language in LANGUAGES]
        return found

    async def load(self) -> None:
        """Make the tabs, and keep them until closed."""
        try:
            async with AsyncExitStack() as stack:
                # Gradio takes seconds to import, and the room is open meanwhile.
                app = await asyncio.to_thread(self._make)
                await stack.enter_async_context(app.router.lifespan_context(app))
                self._app = app
                log.info("the operators' tabs are ready")
                await self._closing.wait()
        except Exception:
            self._is_broken = True
            log.exception("the operators' tabs cannot be made")
        finally:
            await self._commands.close()
            await self._sight.close()

    async def close(self) -> None:
        """Let go of them."""
        self._closing.set()

    def _make(self) -> Any:
        # What an earlier process was sent and did not place is nobody's any more.
        shutil.rmtree(self._uploads, ignore_errors=True)
        self._uploads.mkdir(mode=0o700, parents=True, exist_ok=True)
        tell_libraries(
            GRADIO_ANALYTICS_ENABLED="False", GRADIO_TEMP_DIR=str(self._uploads), HF_HUB_DISABLE_TELEMETRY="1"
        )
        import gradio
        from fastapi import FastAPI

        from bot.platforms.web.tabs import knowledge, operators
        from bot.platforms.web.tabs.theme import theme

        assert self._look is not None  # noqa: S101 -- routes come first
        app = FastAPI(openapi_url=None)
        for language in LANGUAGES:
            pages = {
                OPERATORS: operators.build(self._sight, self._look, language),
                KNOWLEDGE: knowledge.build(self._settings, self._commands, self._look, language),
            }
            for tab, page in pages.items():
                gradio.mount_gradio_app(
                    app,
                    page,
                    path=f"/{tab}/{language}",
                    ssr_mode=False,
                    theme=theme(),
                    footer_links=[],
                    run_history=False,
                    show_error=False,
                    enable_monitoring=False,
                    mcp_server=False,
                    pwa=False,
                    max_file_size=f"{self._settings.knowledge.max_file_mb}mb",
                )
        return app

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        reader: Reader = scope["state"]["reader"]
        assert self._look is not None  # noqa: S101 -- routes come first
        if self._app is None:
            sentence = reader.words["tabs_broken" if self._is_broken else "tabs_loading"]
            again_s = 0 if self._is_broken else LOOK_AGAIN_S
            page = self._look.page("said.html", reader, sentence=sentence, again_s=again_s, back="/")
            await HTMLResponse(page, 503, {"Retry-After": "1"})(scope, receive, send)
            return
        head = self._look.part("tab_head.html", reader.language)
        bar = self._look.page("bar.html", reader, tab=scope["path"].strip("/").split("/")[0], back=_back(scope))
        around = HtmlPages(send, lambda page: _around(page, head, bar))
        # Gradio finds its pages by the whole path.
        await self._app({**scope, "root_path": ""}, receive, around.send)


async def _to_language(request: Request) -> Response:
    reader: Reader = request.state.reader
    return RedirectResponse(f"/{request.url.path.strip('/')}/{reader.language}/", 303)


def _around(page: bytes, head: str, bar: str) -> bytes:
    """Gradio's page below our bar; it asks for a manifest that there is not."""
    parts = (
        (_MANIFEST, b""),
        (b"</head>", head.encode() + b"</head>"),
        (b"<gradio-app", bar.encode() + b"<gradio-app"),
    )
    for before, after in parts:
        page = page.replace(before, after, 1)
    return page


def _back(scope: Scope) -> str:
    return f"/{scope['path'].strip('/').split('/')[0]}/"
