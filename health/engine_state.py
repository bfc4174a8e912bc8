"""What the workers' engines say of themselves in Redis, for the people who wait for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import redis

from config.settings import Settings
from contract import names


@dataclass(frozen=True, slots=True)
class EngineState:
    """One engine. `state` is loading, ready, restarting, failed, or empty where its worker has not said anything.

    `pid` is the worker's process, 0 where it is not known;
    `progress` is the share that is loaded, 0 to 1; `what` says of what; `error` is a sentence. `in_flight` counts the
    answers that grow or wait inside the engine; `tokens_per_s` is what it wrote in the last seconds.
    """

    worker: str
    pid: int = 0
    state: str = ""
    progress: float = 0.0
    what: str = ""
    error: str = ""
    in_flight: int = 0
    tokens_per_s: float = 0.0
    gpu_memory_bytes: int = 0

    @classmethod
    def read(cls, worker: str, fields: Mapping[Any, Any]) -> EngineState:
        """From the fields that its worker writes."""
        text = {str(key): str(value) for key, value in fields.items()}
        return cls(
            worker=worker,
            pid=int(text.get("pid", 0)),
            state=text.get("state", ""),
            progress=float(text.get("progress", 0)),
            what=text.get("what", ""),
            error=text.get("error", ""),
            in_flight=int(text.get("in_flight", 0)),
            tokens_per_s=float(text.get("tokens_per_s", 0)),
            gpu_memory_bytes=int(text.get("gpu_memory_bytes", 0)),
        )

    @property
    def ready(self) -> bool:
        """Whether it answers questions."""
        return self.state == "ready"

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def read_states(client: redis.Redis, settings: Settings) -> list[EngineState]:
    """One for each worker that is meant to run here; where none is, one for each that is heard of from other hosts.

    `client` gives text. Raises redis.RedisError.
    """
    if not settings.worker.processes:
        workers = sorted(str(key).rpartition(":")[2] for key in client.smembers(names.WORKERS_KEY))
        told = {worker: client.hgetall(names.engine_key(worker)) for worker in workers}
        return [EngineState.read(worker, text) for worker, text in told.items() if text]
    # As supervisord.conf names them.
    here = [f"worker_{number}" for number in range(settings.worker.processes)]
    return [EngineState.read(name, client.hgetall(names.engine_key(settings.worker_name(name)))) for name in here]
