"""A Redis that has lost its data shows no channel what was hidden from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from contract import names
from tests.valkey import ValkeyServer
from workers.knowledge.bindings import Bindings
from workers.knowledge.bindings_copy import BindingsCopy
from workers.knowledge.document import KnowledgeError

CHANNEL, OTHER = "slack:T1:C1", "slack:T1:C2"


@pytest.fixture
def connection(valkey: ValkeyServer) -> Iterator[redis.Redis]:
    """A client as a worker has it."""
    with redis.Redis.from_url(valkey.url) as client:
        yield client


def of_a_worker(connection: redis.Redis, folder: Path) -> Bindings:
    """The bindings as a worker that was just started in this home folder reads them."""
    return Bindings(connection, BindingsCopy(folder / "bindings.json"))


def test_bindings_that_redis_lost_are_put_back_before_a_question_is_answered(
    connection: redis.Redis, tmp_path: Path
) -> None:
    """By a worker that goes on, and by one that is started after the loss."""
    Bindings(connection).bind(CHANNEL, ["hr"])
    goes_on = of_a_worker(connection, tmp_path)
    assert goes_on.bases_of(CHANNEL) == ("hr",)
    for bindings in (goes_on, of_a_worker(connection, tmp_path)):
        connection.flushall()
        assert bindings.bases_of(CHANNEL) == ("hr",)
        assert Bindings(connection).all() == {CHANNEL: ("hr",)}


def test_what_was_bound_after_the_loss_holds(connection: redis.Redis, tmp_path: Path) -> None:
    """The copy fills gaps and changes nothing."""
    for channel in (CHANNEL, OTHER):
        Bindings(connection).bind(channel, ["hr"])
    of_a_worker(connection, tmp_path).bases_of(CHANNEL)
    connection.flushall()
    Bindings(connection).bind(CHANNEL, ["support"])

    later = of_a_worker(connection, tmp_path)

    assert (later.bases_of(CHANNEL), later.bases_of(OTHER)) == (("support",), ("hr",))


def test_a_binding_that_a_person_took_away_stays_away(connection: redis.Redis, tmp_path: Path) -> None:
    """Unbinding the last channel is no loss."""
    bindings = of_a_worker(connection, tmp_path)
    bindings.bind(CHANNEL, ["hr"])
    assert bindings.bases_of(CHANNEL) == ("hr",)
    Bindings(connection).unbind(CHANNEL)

    assert bindings.bases_of(CHANNEL) == ("default",)
    assert of_a_worker(connection, tmp_path).bases_of(CHANNEL) == ("default",)


def test_of_two_hosts_the_one_that_knows_more_puts_back_more(connection: redis.Redis, tmp_path: Path) -> None:
    """A host whose copy is old does not undo what came later."""
    Bindings(connection).bind(CHANNEL, ["hr"])
    old = of_a_worker(connection, tmp_path / "old")
    old.bases_of(CHANNEL)
    Bindings(connection).bind(OTHER, ["hr"])
    new = of_a_worker(connection, tmp_path / "new")
    new.bases_of(CHANNEL)
    connection.flushall()

    assert old.bases_of(CHANNEL) == ("hr",)
    assert new.bases_of(OTHER) == ("hr",)
    assert old.bases_of(OTHER) == ("hr",)


def test_bindings_of_a_release_that_did_not_count_are_copied_too(connection: redis.Redis, tmp_path: Path) -> None:
    """They count as one change."""
    connection.hset(names.bindings_key(), CHANNEL, '["hr"]')
    of_a_worker(connection, tmp_path).bases_of(CHANNEL)
    connection.flushall()

    assert of_a_worker(connection, tmp_path).bases_of(CHANNEL) == ("hr",)


def test_a_copy_that_cannot_be_read_stops_the_worker(tmp_path: Path) -> None:
    """Nobody guesses what was hidden."""
    (tmp_path / "bindings.json").write_text("{")
    with pytest.raises(KnowledgeError, match="look at `fennel kb bindings`, then delete it"):
        BindingsCopy(tmp_path / "bindings.json")


def test_a_home_folder_that_cannot_be_written_keeps_no_question_waiting(
    connection: redis.Redis, tmp_path: Path
) -> None:
    """The copy lives on in memory, and a word is said in the log."""
    (tmp_path / "file").write_text("")
    Bindings(connection).bind(CHANNEL, ["hr"])
    bindings = of_a_worker(connection, tmp_path / "folder")
    bindings.bases_of(CHANNEL)
    blocked = Bindings(connection, BindingsCopy(tmp_path / "gone" / "bindings.json"))
    (tmp_path / "gone").write_text("a file where the folder would be")

    assert blocked.bases_of(CHANNEL) == ("hr",)
    connection.flushall()
    assert blocked.bases_of(CHANNEL) == ("hr",)
