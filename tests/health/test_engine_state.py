"""Whose engines a host looks at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import redis

from config.redis_clients import threads_client
from config.settings import Settings
from contract import names
from health.engine_state import read_states
from health.surroundings import NO_WORKER, Surroundings
from tests.valkey import ValkeyServer


def settings(valkey: ValkeyServer, home: Path, **worker: Any) -> Settings:
    return Settings(home=home, redis={"url": valkey.url}, worker=worker)


def heard_of(client: redis.Redis, *workers: str) -> None:
    for worker in workers:
        client.sadd(names.WORKERS_KEY, f"rq:worker:{worker}")
        client.hset(names.engine_key(worker), mapping={"state": "ready", "pid": "1"})


def test_a_host_with_a_name_looks_at_its_own_workers(valkey: ValkeyServer, tmp_path: Path) -> None:
    """`worker.host` is a part of the name in Redis, so that workers of two hosts are told apart."""
    here = settings(valkey, tmp_path, processes=2, host="gpu-c")
    with threads_client(valkey.address, 5.0) as client:
        heard_of(client, "worker_0", "worker_0@gpu-c", "worker_1@gpu-d")
        assert {one.worker: one.ready for one in read_states(client, here)} == {"worker_0": True, "worker_1": False}


def test_a_host_without_workers_looks_at_those_of_others(valkey: ValkeyServer, tmp_path: Path) -> None:
    """With `worker.processes` 0 every engine counts that is heard of; none is a finding with its cure."""
    here = settings(valkey, tmp_path, processes=0)
    around = Surroundings(here)
    with threads_client(valkey.address, 5.0) as client:
        assert read_states(client, here) == []
        assert around.engine() == NO_WORKER
        heard_of(client, "worker_0@gpu-d", "worker_0@gpu-c")
        assert [one.worker for one in read_states(client, here)] == ["worker_0@gpu-c", "worker_0@gpu-d"]
        assert around.engine().is_well
    around.close()
