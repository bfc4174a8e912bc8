"""`python -m bot` in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from config.environment import CHECKOUT, environment_with
from tests.valkey import ValkeyServer


@contextlib.asynccontextmanager
async def bot_program(
    platform: str, valkey: ValkeyServer, home: Path, **settings: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The platform's program with these settings in its environment, gone behind the block; its stderr is a pipe."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", platform),
        cwd=CHECKOUT,
        env=environment_with(FENNEL_REDIS__URL=valkey.url, FENNEL_HOME=str(home), **settings),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
