"""Traces of questions with OpenTelemetry, where `tracing.endpoint` names a collector; otherwise nothing is done.

A question's trace id comes out of the question's own id, so that bot and worker speak of the same trace and nothing
more has to cross between them: a bot of an older version beside a worker of a newer one changes nothing. The spans are
written when they have ended, from the times that the programs have anyway. They carry ids and outcomes, never text.
"""

from __future__ import annotations

import hashlib
from contextvars import ContextVar
from typing import TYPE_CHECKING

from config.settings import Settings
from contract.errors import FennelError

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

NANOSECONDS = 1_000_000_000

_tracer: Tracer | None = None
_root_ids: ContextVar[tuple[int, int] | None] = ContextVar("root_ids", default=None)


class TracingError(FennelError):
    """Traces are wanted and what they need is not installed."""


def start_tracing(settings: Settings, program: str) -> None:
    """Send this process's spans to the collector from now on. Raises TracingError."""
    global _tracer
    if not settings.tracing.endpoint:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
    except ModuleNotFoundError as error:
        raise TracingError(
            f"tracing.endpoint is set and {error.name} is missing: pip install 'fennel[tracing]'"
        ) from error

    class QuestionIds(RandomIdGenerator):
        """Random ids, but for the root span of a question, whose ids all programs know."""

        def generate_trace_id(self) -> int:
            ids = _root_ids.get()
            return ids[0] if ids else super().generate_trace_id()

        def generate_span_id(self) -> int:
            ids = _root_ids.get()
            return ids[1] if ids else super().generate_span_id()

    resource = Resource.create({"service.name": "fennel", "service.instance.id": program})
    provider = TracerProvider(resource=resource, id_generator=QuestionIds())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.tracing.endpoint)))
    _tracer = provider.get_tracer("fennel")


def record_span(question_id: str, name: str, began_at_s: float, ended_at_s: float, **attributes: str) -> None:
    """One step of a question's way, from when to when (Unix time); nothing where tracing is off."""
    if _tracer is None:
        return
    from opentelemetry import trace

    trace_id, span_id = _ids(question_id)
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED)
    parent = trace.NonRecordingSpan(trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags))
    _record(_tracer, name, began_at_s, ended_at_s, {"question": question_id, **attributes}, parent)


def record_question(question_id: str, began_at_s: float, ended_at_s: float, **attributes: str) -> None:
    """The whole way of a question, which all its other spans stand in."""
    if _tracer is None:
        return
    token = _root_ids.set(_ids(question_id))
    try:
        _record(_tracer, "question", began_at_s, ended_at_s, {"question": question_id, **attributes}, None)
    finally:
        _root_ids.reset(token)


def _record(
    tracer: Tracer, name: str, began_at_s: float, ended_at_s: float, attributes: dict[str, str], parent: object
) -> None:
    from opentelemetry import trace
    from opentelemetry.context import Context

    context = trace.set_span_in_context(parent, Context()) if isinstance(parent, trace.Span) else Context()
    span = tracer.start_span(name, context, attributes=attributes, start_time=round(began_at_s * NANOSECONDS))
    span.end(end_time=round(max(began_at_s, ended_at_s) * NANOSECONDS))


def _ids(question_id: str) -> tuple[int, int]:
    """The trace's id and its root span's: never 0, which means none."""
    digest = hashlib.sha256(question_id.encode()).digest()
    return int.from_bytes(digest[:16], "big") or 1, int.from_bytes(digest[16:24], "big") or 1
