"""`fennel model …`: models into the home folder, and what they need.

What reads a model runs in a process of its own, because this one must not import torch.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from cli.printing import JSON_OPTION, new_table, plain, print_json, print_table
from config.environment import CHECKOUT, environment_with
from config.loading import load_settings
from config.settings import Settings
from contract.errors import FennelError

MANAGE = "workers.engine.local.manage"
HUB_PREFIX = "models--"


class ModelCommandError(FennelError):
    """What was asked of a model cannot be done; the sentence says why."""


@click.group()
def model() -> None:
    """Fetch models into the home folder, and look at them."""


@model.command()
@click.argument("name")
def pull(name: str) -> None:
    """Bring a model into the home folder: a hub's id (owner/name), a folder, or a GGUF file; checksums are compared."""
    done = _manage("pull", name, load_settings())
    click.echo(f"{done['name']} is in {done['folder']} ({done['files']} files, checksums compared).")
    click.echo(f"Use it: FENNEL_ENGINE__MODEL={done['name']} in .env, or model under [engine] in fennel.toml.")


@model.command(name="list")
@JSON_OPTION
def list_(as_json: bool) -> None:
    """List the models in the home folder; the one in use is marked."""
    settings = load_settings()
    found = _models(settings)
    if as_json:
        print_json({"models": found})
        return
    table = new_table("Model", "Size", "In use", "Folder")
    for one in found:
        table.add_row(
            plain(one["name"]),
            f"{one['size_bytes'] / 1e6:,.0f} MB",
            "yes" if one["in_use"] else "",
            plain(one["folder"]),
        )
    print_table(table)


@model.command()
@click.argument("name", required=False)
@JSON_OPTION
def check(name: str | None, as_json: bool) -> None:
    """Tell what a model (or the one in use) needs, whether it has a chat template, and try it in some languages."""
    settings = load_settings()
    name = name or settings.engine.model
    found = _manage("check", name, settings)
    if as_json:
        print_json(found)
        return
    click.echo(f"Folder: {found['folder']}")
    click.echo(f"Memory: {found['memory']}; it fits.")
    click.echo(f"Chat template: {'found' if found['chat_template'] else 'none; it completes text and does not answer'}")
    for language, tried in found["languages"].items():
        click.echo(f"{language}: {'right' if tried['right'] else 'wrong'}: {plain(tried['answer'])}")
    if not found["chat_template"]:
        raise ModelCommandError(f"the model {name} has no chat template: name its chat or instruct version")


def _models(settings: Settings) -> list[dict[str, Any]]:
    folders = {}
    for folder in settings.models_folder.iterdir():
        if folder.is_dir() and folder.name not in ("hub", "gguf") and not folder.name.startswith("."):
            folders[folder.name] = folder
    for group in ("hub", "gguf"):
        for folder in (settings.models_folder / group).glob("[!.]*"):
            if folder.is_dir():
                folders[folder.name.removeprefix(HUB_PREFIX).replace("--", "/")] = folder
    return [
        {
            "name": name,
            "folder": str(folder),
            "size_bytes": _size_bytes(folder),
            "in_use": name == settings.engine.model,
        }
        for name, folder in sorted(folders.items())
    ]


def _size_bytes(folder: Path) -> int:
    """What it takes on the disk; a hub's snapshots are links."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())


def _manage(command: str, name: str, settings: Settings) -> dict[str, Any]:
    """Have the other process do it and show how far it is; raises ModelCommandError with its sentence."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    # A relative path is meant from here, and the other process runs in the checkout.
    local = Path(name).expanduser()
    name = str(local.absolute()) if local.exists() else name
    answer: dict[str, Any] = {}
    with (
        Progress(TextColumn("{task.description}"), BarColumn(), console=Console(stderr=True), transient=True) as bar,
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            [sys.executable, "-m", MANAGE, command, name],
            cwd=CHECKOUT,
            env=environment_with(FENNEL_HOME=str(settings.home)),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as child,
    ):
        task = bar.add_task("starting", total=1.0)
        assert child.stdout is not None  # noqa: S101 -- it was asked for
        for line in child.stdout:
            try:
                answer = json.loads(line)
            except ValueError:
                continue  # a library that prints
            if "progress" in answer:
                what, share = answer["progress"]
                bar.update(task, description=what, completed=share)
        child.wait()
        errors.seek(0)
        last_words = errors.read().strip().splitlines()[-1:] or ["it said nothing"]
    if "result" in answer:
        result: dict[str, Any] = answer["result"]
        return result
    raise ModelCommandError(answer.get("error") or f"the model could not be looked at: {last_words[0]}")
