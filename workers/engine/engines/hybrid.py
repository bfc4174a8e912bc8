"""Two engines as one: a model on this machine and remote servers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from config.sections import EngineSettings
from workers.engine.engine import Engine, EngineError, GenerationEvent, GenerationRequest, Progress
from workers.engine.engines.openai import OpenAIEngine

log = logging.getLogger(__name__)


class HybridEngine(Engine):
    """Gives a request to the engine that the settings name first, and to the other while that one has its hands full.

    What the remote engine fails at before its first text, the local one answers: with no server to be reached, it
    answers everything. `make_local` builds the local engine; the model of this machine where it is left out.
    """

    def __init__(
        self,
        settings: EngineSettings,
        models_folder: Path,
        slots: int,
        *,
        make_local: Callable[[EngineSettings, Path, int], Engine] | None = None,
    ) -> None:
        if make_local is None:
            # Here and not above: what builds a local engine of another kind needs no torch.
            from workers.engine.engines.transformers import TransformersEngine

            make_local = TransformersEngine
        self._settings = settings
        # A local engine that is first never has more in hand, but where a server fails: those wait inside it.
        local_slots = min(slots, settings.hybrid_in_hand) if settings.hybrid_first == "local" else slots
        self._local = make_local(settings, models_folder, local_slots)
        self._remote = OpenAIEngine(settings, models_folder, slots)
        self._in_local: set[str] = set()
        self._without_text: dict[str, GenerationRequest] = {}  # of those that the remote engine has

    def load(self, progress: Progress) -> None:
        """Load both; servers that cannot be reached are no reason not to begin, a local model that fails is one."""
        self._local.load(lambda what, share: progress(what, share * 0.9))
        try:
            self._remote.load(lambda what, share: progress(what, 0.9 + share * 0.1))
        except EngineError as error:
            log.warning("no server answers, the model of this machine does: %s", error)
            progress("ready, without a server", 1.0)

    def add(self, request: GenerationRequest) -> None:
        """Give the request to one of the two."""
        most = self._settings.hybrid_in_hand
        if self._settings.hybrid_first == "local":
            to_local = len(self._in_local) < most
        else:
            to_local = self._remote.in_hand >= most
        if to_local:
            self._add_to_local(request)
        else:
            self._without_text[request.id] = request
            self._remote.add(request)

    def cancel(self, request_id: str) -> None:
        """Give a request up, wherever it is."""
        self._local.cancel(request_id)
        self._remote.cancel(request_id)

    def step(self) -> list[GenerationEvent]:
        """A step of both; where the local one works, it gives the pace."""
        if not self._local.busy:
            return self._of_remote(self._remote.step())
        local = self._local.step()
        self._in_local -= {event.id for event in local if event.finish}
        return local + self._of_remote(self._remote.poll())

    @property
    def busy(self) -> bool:
        """Whether one of the two has something to do."""
        return self._local.busy or self._remote.busy

    @property
    def about(self) -> Mapping[str, str]:
        """What both say of themselves."""
        return {**self._local.about, **self._remote.about, "first": self._settings.hybrid_first}

    def close(self) -> None:
        """Close both."""
        self._local.close()
        self._remote.close()

    def _add_to_local(self, request: GenerationRequest) -> None:
        self._in_local.add(request.id)
        self._local.add(request)

    def _of_remote(self, events: list[GenerationEvent]) -> list[GenerationEvent]:
        """The remote engine's events, without failures that the local engine is to make good."""
        kept = []
        for event in events:
            request = self._without_text.pop(event.id, None)
            if event.finish == "error" and request is not None and not event.text:
                self._add_to_local(request)
            else:
                kept.append(event)
        return kept
