"""How fast questions pass the queue: no-op jobs a second, CPU a job, and the time from enqueue to begin.

``python -m benchmarks.queue``: this worker beside RQ's own, in turn on one server with ``appendfsync always``.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import psutil
import redis
from rq import Queue
from rq.serializers import JSONSerializer

from benchmarks.queue_worker import PLAIN_QUEUE, RQ_KINDS, no_op
from benchmarks.report import print_table, write_results
from config.loading import load_settings
from config.redis_address import RedisAddress
from contract import names
from contract.answer import FinalAnswer
from tests.valkey import ValkeyServer
from tests.workers.questions import ask, make_question

OURS = "fennel worker, 16 in flight"
# As many as take some seconds each.
JOBS = {OURS: 2000, "rq SimpleWorker": 1000, "rq Worker (fork)": 150, "rq SpawnWorker": 12}
SINGLE_JOBS = {OURS: 150, "rq SimpleWorker": 150, "rq Worker (fork)": 60, "rq SpawnWorker": 8}


class Subject:
    """One kind of worker, in a process of its own, and how its jobs are enqueued and found finished."""

    def __init__(self, connection: redis.Redis, url: str, kind: str) -> None:
        self.kind = kind
        self.connection = connection
        self._queue = Queue(PLAIN_QUEUE, connection=connection, serializer=JSONSerializer)
        self._wire = make_question("x" * 300).to_wire()
        self.process = subprocess.Popen([sys.executable, "-m", "benchmarks.queue_worker", url, kind])
        deadline_s = time.monotonic() + 60
        while connection.hget("rq:worker:plain", "state") not in (b"idle", b"busy"):
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"{kind} did not start")
            time.sleep(0.05)

    def enqueue(self, count: int) -> list[str]:
        """Put jobs into the queue; returns their ids."""
        if self.kind == OURS:
            return [ask(self.connection, "x" * 300).id for _ in range(count)]
        return [self._queue.enqueue(no_op, self._wire, result_ttl=3600).id for _ in range(count)]

    def finished(self) -> int:
        """How many are."""
        queue = names.QUEUE if self.kind == OURS else PLAIN_QUEUE
        return int(self.connection.zcard(f"rq:finished:{queue}"))

    def wait(self, count: int) -> None:
        """Wait until so many are finished."""
        while self.finished() < count:
            time.sleep(0.002)

    def begun_at(self, job_id: str) -> float:
        """When the job was begun, in seconds since the epoch."""
        if self.kind != OURS:
            job = self._queue.fetch_job(job_id)
            assert job is not None
            return float(job.return_value())
        entries: Any = self.connection.xrevrange(names.answers_stream("test"), count=1)
        return float(FinalAnswer.from_wire(entries[0][1][b"final"]).text)

    def cpu_s(self) -> float:
        """CPU time of the worker and its ended children."""
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system + times.children_user + times.children_system)

    def stop(self) -> None:
        """Stop the worker."""
        self.process.terminate()
        self.process.wait(60)
        self.connection.flushall()


def throughput(subject: Subject) -> tuple[float, float]:
    """Jobs a second and CPU milliseconds a job."""
    count, before = JOBS[subject.kind], subject.finished()
    # Filled while the worker is held back, or the producer would be measured.
    subject.connection.set("rq:suspended", 1)
    time.sleep(1.5)
    subject.enqueue(count)
    cpu_s = subject.cpu_s()
    subject.connection.delete("rq:suspended")
    # The worker looks once a second whether it is suspended: the clock begins with its first job.
    while subject.finished() == before:
        time.sleep(0.001)
    begun_s = time.monotonic()
    subject.wait(before + count)
    return count / (time.monotonic() - begun_s), 1000 * (subject.cpu_s() - cpu_s) / count


def begin_ms(subject: Subject) -> list[float]:
    """Milliseconds from enqueue to begin, one job at a time on an idle worker."""
    found = []
    for _ in range(SINGLE_JOBS[subject.kind]):
        before, asked_s = subject.finished(), time.time()
        (job_id,) = subject.enqueue(1)
        subject.wait(before + 1)
        found.append(1000 * (subject.begun_at(job_id) - asked_s))
    return found


def accepted_a_second(url: str, count: int, at_once: int) -> float:
    """Events that the bot's inbox accepts a second."""
    from bot.inbox import Inbox
    from bot.redis_link import patient_client

    async def accept_all() -> float:
        settings = load_settings()
        async with patient_client(RedisAddress.of_url(url)) as connection:
            inbox = Inbox(connection, max_queued=10**9, job_timeout_s=settings.worker.job_timeout_s)
            questions = [make_question("x" * 300) for _ in range(count)]
            places = asyncio.Semaphore(at_once)

            async def accept(number: int) -> None:
                async with places:
                    await inbox.accept(questions[number])

            started_s = time.monotonic()
            await asyncio.gather(*(accept(number) for number in range(count)))
            return count / (time.monotonic() - started_s)

    return asyncio.run(accept_all())


def quantile(values: list[float], share: float) -> float:
    """The value that `share` of the values do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    kinds = [OURS, *RQ_KINDS]
    speeds: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
    begins: dict[str, list[float]] = {kind: [] for kind in kinds}
    accepted: dict[int, list[float]] = {1: [], 32: []}
    server = ValkeyServer()
    try:
        server.start()
        connection = redis.Redis.from_url(server.url)
        for number in range(rounds):
            for kind in kinds:
                print(f"round {number + 1} of {rounds}: {kind}", flush=True)
                subject = Subject(connection, server.url, kind)
                try:
                    begins[kind] += begin_ms(subject)
                    speeds[kind].append(throughput(subject))
                finally:
                    subject.stop()
            for at_once, found in accepted.items():
                found.append(accepted_a_second(server.url, 1000, at_once))
                connection.flushall()
        connection.close()
    finally:
        server.remove()
    report(speeds, begins, accepted)


def report(
    speeds: dict[str, list[tuple[float, float]]], begins: dict[str, list[float]], accepted: dict[int, list[float]]
) -> None:
    """Print the table and write the figures: the median of the rounds."""
    median: Callable[[list[float]], float] = statistics.median
    fork = median([speed for speed, _ in speeds["rq Worker (fork)"]])
    rows: list[list[object]] = []
    for kind, found in speeds.items():
        speed = median([one for one, _ in found])
        rows.append(
            [
                kind,
                speed,
                speed / fork,
                median([cpu_ms for _, cpu_ms in found]),
                quantile(begins[kind], 0.5),
                quantile(begins[kind], 0.99),
            ]
        )
    columns = ["worker", "jobs/s", "x fork", "CPU ms/job", "begin p50 ms", "begin p99 ms"]
    print_table("No-op jobs, appendfsync always", columns, rows)
    accepted_rows: list[list[object]] = [[f"{at_once} at once", median(found)] for at_once, found in accepted.items()]
    print_table("Events accepted by the bot's inbox", ["", "events/s"], accepted_rows)
    write_results(
        "queue",
        {
            "workers": [dict(zip(columns, row, strict=True)) for row in rows],
            "accepted_events_per_s": {at_once: median(found) for at_once, found in accepted.items()},
        },
    )


if __name__ == "__main__":
    main()
