"""`fennel kb` as a child of the page."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psutil

from bot.platforms.web.tabs.kb_command import KbCommand, Result, Step
from tests.bot.conftest import MakeSettings


async def all_of(command: KbCommand, *arguments: str, folder: Path) -> tuple[list[Step], Result]:
    """The steps of a change, and its result."""
    seen = [step async for step in command.change(*arguments, folder=folder)]
    assert isinstance(seen[-1], Result)
    return [step for step in seen if isinstance(step, Step)], seen[-1]


async def test_documents_go_in_and_are_found(make_settings: MakeSettings, tmp_path: Path) -> None:
    """Progress comes as steps, the result as what the command prints; a name that looks like an option is a name."""
    command = KbCommand(make_settings())
    for name in ("-x.md", "vpn.md"):
        (tmp_path / name).write_text(f"# VPN {name}\n\nA VPN key is valid for 90 days.\n")
    steps, added = await all_of(command, "add", "--base", "default", "--", "-x.md", "vpn.md", folder=tmp_path)
    assert (added.problem, added.body["added"]) == ("", 2)
    assert [(one.what, one.whole) for one in steps] == [("Adding documents", 2)] * len(steps)
    assert steps[-1].done == 2
    found = await command.look("search", "--base", "default", "--limit", "1", "--", "--how long is a VPN key valid?")
    assert "90 days" in found.body["passages"][0]["text"]


async def test_what_goes_wrong_is_one_sentence(make_settings: MakeSettings, tmp_path: Path) -> None:
    """Without the program's name before it, and never a traceback."""
    command = KbCommand(make_settings())
    refused = (await all_of(command, "add", "--", "nothing.md", folder=tmp_path))[1]
    assert refused.problem == "there is no nothing.md [failed]"
    refused = await command.look("show", "--", "nothing.md")
    assert refused.problem == "there is no document nothing.md: `fennel kb list` names them all [failed]"


async def test_a_page_that_is_closed_leaves_no_half(make_settings: MakeSettings, tmp_path: Path) -> None:
    """What was asked for is done, though nobody listens any more."""
    command = KbCommand(make_settings())
    (tmp_path / "vpn.md").write_text("# VPN\n\nA VPN key is valid for 90 days.\n")
    running = command.change("add", "--", "vpn.md", folder=tmp_path)
    beginning = asyncio.ensure_future(anext(aiter(running)))
    while not children():  # noqa: ASYNC110 -- nobody tells
        await asyncio.sleep(0.01)
    beginning.cancel()
    async with asyncio.timeout(60):
        while children():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert [one["source"] for one in (await command.look("list")).body["documents"]] == ["vpn.md"]


async def test_a_page_that_ends_ends_its_commands(make_settings: MakeSettings, tmp_path: Path) -> None:
    """No child is left behind by a bot that stops."""
    command = KbCommand(make_settings())
    (tmp_path / "vpn.md").write_text("# VPN\n")
    beginning = asyncio.ensure_future(anext(aiter(command.change("add", "--", "vpn.md", folder=tmp_path))))
    while not children():  # noqa: ASYNC110 -- nobody tells
        await asyncio.sleep(0.01)
    await command.close()
    beginning.cancel()
    assert children() == []


def children() -> list[psutil.Process]:
    """The commands that run."""
    return [one for one in psutil.Process().children() if one.name() != "valkey-server" and "kb" in one.cmdline()]
