"""A worker process, put together: Redis, knowledge, gate, pipeline, the engine, and the worker that uses them."""

from __future__ import annotations

import signal
import threading
import time

import redis
import structlog
from prometheus_client import REGISTRY

from config.environment import supervised_program
from config.redis_clients import threads_client
from config.redis_trouble import trouble
from config.settings import Settings
from contract.errors import FennelError
from health.backoff import pause_s
from health.last_error import read_errors
from health.server import HealthServer
from workers.answerer import Answerer
from workers.engine.supervisor import EngineSupervisor
from workers.engine_report import EngineReport
from workers.gates.learned import open_gate
from workers.health import QueueCollector, WorkerHealth
from workers.knowledge.bindings import Bindings
from workers.knowledge.bindings_copy import BindingsCopy
from workers.knowledge.embedder import open_embedder
from workers.knowledge.retrievers.hybrid import HybridRetriever, open_retriever
from workers.knowledge.store import open_store
from workers.outbox import Outbox
from workers.pipeline import Pipeline
from workers.worker import QuestionWorker

log = structlog.get_logger(__name__)

# A Redis that accepts a command and never answers is noticed after this long.
REDIS_TIMEOUT_S = 10.0
REDIS_AGAIN_S = 0.5


def run_worker(settings: Settings, name: str) -> int:
    """Work until told to stop; returns the exit code."""
    settings.make_folders()
    connection = _connected(settings)
    report = EngineReport(name, settings)
    engine = EngineSupervisor(
        settings.engine,
        settings.models_folder,
        slots=settings.worker.max_in_flight,
        registry=REGISTRY,
        on_progress=report.loading,
        on_ready=report.ready,
        on_down=report.restarting,
        on_give_up=lambda reason: give_up(reason),
    )
    retriever, pipeline = _search_and_pipeline(settings, connection)
    answerer = Answerer(connection, pipeline, Outbox(connection), engine.submit, settings)
    worker = QuestionWorker(
        settings.worker_name(name),
        connection,
        answerer,
        settings,
        ready=lambda: engine.ready,
        tell=lambda beat: report.add_to(beat, engine.usage),
    )

    def give_up(reason: str) -> None:
        report.failed(reason)
        worker.give_up(reason)

    def start_engine() -> None:
        # Beside the worker, which can be stopped meanwhile and already tells how far the engine is.
        try:
            engine.start()
        except FennelError as error:
            give_up(str(error))

    health = WorkerHealth(settings, lambda: report.state, lambda: worker.turned_at_s)
    REGISTRY.register(QueueCollector(health.surroundings))
    with HealthServer(name, settings, health.is_alive, health.findings):
        threading.Thread(target=start_engine, name="start the engine", daemon=True).start()
        threading.Thread(target=retriever.prepare, name="prepare the search", daemon=True).start()
        try:
            worker.work()
        finally:
            engine.stop()
            report.leave(connection)
        if worker.exit_code and supervised_program():
            _pause(settings, name)
    return worker.exit_code


def _search_and_pipeline(settings: Settings, connection: redis.Redis) -> tuple[HybridRetriever, Pipeline]:
    embedder = open_embedder(settings.knowledge.embedder)
    bindings = Bindings(connection, BindingsCopy(settings.bindings_copy_file))
    retriever = open_retriever(settings, open_store(settings, embedder), embedder)
    return retriever, Pipeline(retriever, open_gate(settings, embedder), settings, bindings.bases_of)


def _connected(settings: Settings) -> redis.Redis:
    """A client, as soon as Redis answers, which RQ wants from the beginning.

    Raises FennelError for what no waiting cures.
    """
    connection = threads_client(settings.redis_address, REDIS_TIMEOUT_S, decode=False)
    told = False
    while True:
        try:
            connection.ping()
            return connection
        except redis.RedisError as error:
            what = trouble(error, settings.redis_address)
            if not what.may_pass:
                raise FennelError(str(what)) from error
            if not told:
                log.warning("waiting for Redis", error=str(what))
                told = True
        time.sleep(REDIS_AGAIN_S)


def _pause(settings: Settings, name: str) -> None:
    """Wait before supervisord starts this worker anew, in vain perhaps: loading a model takes the machine's time."""
    error = read_errors(settings).get(name)
    wait_s = pause_s(error.count if error else 1)
    log.warning("the worker waits before it ends", wait_s=wait_s)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    time.sleep(wait_s)
