"""A real worker with the echo engine in a process of its own, which answers out of a few pages; for whole modules."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis
from prometheus_client import CollectorRegistry

from config.loading import load_settings
from tests.bot.platforms.slack_stage import shown
from tests.fakes.slack import FakeSlack
from tests.valkey import ValkeyServer
from tests.workers.gates import shipped_gate
from tests.workers.passages import ShelfRetriever, passage
from workers.answerer import Answerer
from workers.engine.supervisor import EngineSupervisor
from workers.outbox import Outbox
from workers.pipeline import Pipeline
from workers.worker import QuestionWorker

SLOTS = 16
PACED_ECHO = "tests.workers.engine.engines_for_tests:slow_echo"
"""The echo engine at 50 words a second, so that something can happen to an answer that is being made."""

HOLIDAYS = "Everybody has 30 days of holiday a year."
HOLIDAYS_QUESTION = "How many days of holiday has everybody?"
CHARTER = f"The harbour charter says that {'the berth is kept clear of nets and ' * 20}ropes."
CHARTER_QUESTION = "What does the harbour charter say?"
"""Takes three seconds to be answered."""
PAGES = (passage(HOLIDAYS, title="Holidays"), passage(CHARTER, title="Charter", number=2))


class EchoWorker:
    """Serves a Valkey of its own while the block runs. `url` is where its queue is."""

    def __init__(self, home: Path) -> None:
        settings = load_settings()
        self._settings = settings.model_copy(
            update={
                "home": home,
                "worker": settings.worker.model_copy(update={"partial_interval_s": 0.05, "max_in_flight": SLOTS}),
                "engine": settings.engine.model_copy(
                    update={"kind": PACED_ECHO, "model": "echo", "max_new_tokens": 500}
                ),
            }
        )
        self._server = ValkeyServer()

    @property
    def url(self) -> str:
        """Where its queue is."""
        return self._server.url

    def __enter__(self) -> Self:
        self._server.start()
        settings, url = self._settings, self.url
        self._engine = EngineSupervisor(
            settings.engine,
            settings.models_folder,
            slots=SLOTS,
            registry=CollectorRegistry(),
        )
        pipeline = Pipeline(ShelfRetriever(PAGES), shipped_gate(), settings)
        outbox = Outbox(redis.Redis.from_url(url))
        answerer = Answerer(redis.Redis.from_url(url), pipeline, outbox, self._engine.submit, settings)
        connection = redis.Redis.from_url(url)
        self._worker = QuestionWorker("worker_0", connection, answerer, settings, ready=lambda: self._engine.ready)
        self._engine.start()
        self._thread = threading.Thread(target=self._worker.work, name="worker", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker.request_stop(signal.SIGTERM, None)
        self._thread.join(timeout=20)
        self._engine.stop()
        self._server.remove()


async def right(fake: FakeSlack, asked: dict[str, Any]) -> None:
    """The question has one answer, the right one with its source, and Slack waits for no acknowledgement."""
    (answer,) = await shown(fake, asked)
    assert HOLIDAYS in answer.shown
    assert "docs/holidays.md" in answer.shown
    assert answer.buttons == ["fennel_feedback"]
    await fake.eventually(lambda: not fake.unacked_events())
    assert len(fake.answers(asked["channel"], asked["ts"])) == 1


def ask(fake: FakeSlack, **more: Any) -> dict[str, Any]:
    """A person mentions the bot; Slack tells it as two events."""
    return fake.happen("app_mention", text=HOLIDAYS_QUESTION, **more)
