"""`fennel kb bind`, `unbind` and `bindings`: which channel sees which knowledge bases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from cli.knowledge import opened
from cli.printing import JSON_OPTION, new_table, plain, print_json, print_table
from config.loading import load_settings
from contract.errors import FennelError

if TYPE_CHECKING:
    from workers.knowledge.bindings import Bindings

_TIMEOUT_S = 5.0


@click.command()
@click.argument("channel", metavar="PLATFORM:TENANT:CHANNEL")
@click.argument("bases", nargs=-1, required=True, metavar="BASE…")
def bind(channel: str, bases: tuple[str, ...]) -> None:
    """Let a channel see these knowledge bases and no others, from its next question on."""
    with _bindings() as kept:
        kept.bind(channel, bases)
    click.echo(f"{channel} sees {', '.join(dict.fromkeys(bases))}")
    with opened() as (store, _):
        there = {base.name for base in store.bases()}
    for base in dict.fromkeys(bases):
        if base not in there:
            click.echo(f"there is no knowledge base {base} yet: `fennel kb add --base {base} PATH` makes it", err=True)


@click.command()
@click.argument("channel", metavar="PLATFORM:TENANT:CHANNEL")
def unbind(channel: str) -> None:
    """Let a channel see the default base again."""
    with _bindings() as kept:
        if not kept.unbind(channel):
            raise FennelError(f"{channel} is not bound: `fennel kb bindings` lists those that are")
    click.echo(f"{channel} sees default")


@click.command()
@JSON_OPTION
def bindings(as_json: bool) -> None:
    """List the bound channels; every other one sees the default base."""
    with _bindings() as kept:
        found = kept.all()
    if as_json:
        print_json({channel: list(bases) for channel, bases in found.items()})
        return
    table = new_table("Channel", "Knowledge bases")
    for channel, bases in found.items():
        table.add_row(plain(channel), ", ".join(bases))
    print_table(table)
    click.echo(f"{len(found)} channels are bound; every other one sees default")


@contextmanager
def _bindings() -> Iterator[Bindings]:
    import redis

    from config.redis_clients import threads_client
    from workers.knowledge.bindings import Bindings

    connection = threads_client(load_settings().redis_address, _TIMEOUT_S, decode=False)
    try:
        yield Bindings(connection)
    except redis.RedisError as error:
        raise FennelError("Redis, which keeps the bindings, does not answer: `fennel up` starts it") from error
    finally:
        connection.close()
