"""What the worker counts of its engine."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class EngineMetrics:
    """The engine's metrics in `registry`; without one they are counted and shown nowhere."""

    def __init__(self, registry: CollectorRegistry | None) -> None:
        self.loads = Counter("fennel_model_loads", "Times that the model was loaded", registry=registry)
        self.load_seconds = Gauge("fennel_model_load_seconds", "Time that the last load took", registry=registry)
        self.restarts = Counter("fennel_engine_restarts", "Times that the engine was started anew", registry=registry)
        self.running = Gauge("fennel_engine_running", "Answers that have begun and grow", registry=registry)
        self.gpu_memory = Gauge(
            "fennel_engine_gpu_memory_bytes", "Memory that the engine holds on the GPU", registry=registry
        )
        self.waiting = Gauge("fennel_engine_waiting", "Prompts taken and not begun", registry=registry)
        self.prompt_tokens = Counter("fennel_engine_prompt_tokens", "Tokens of prompts taken", registry=registry)
        self.new_tokens = Counter("fennel_engine_new_tokens", "Tokens of answers written", registry=registry)
        self.cost = Counter(
            "fennel_engine_cost", "What remote servers take for answers, by the settings' prices", registry=registry
        )
        self.generations = Counter(
            "fennel_engine_generations", "Answers ended, by how they ended", ["finish"], registry=registry
        )
