"""OpenTelemetry: spans of the work on a workspace, all in the one trace of its generation.

Without OTEL_EXPORTER_OTLP_ENDPOINT nothing is recorded or sent; the W3C context travels all the same.
Ids of traces and root spans are derived (`contracts.identity`), so a process that lost the headers
writes into the same trace as the others, and long waits can be written when they end, after any restart.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.contracts.identity import root_span_id, trace_id
from services.contracts.messages import Message

_PROPAGATOR = TraceContextTextMapPropagator()
_ROOT_KEY = otel_context.create_key("kaitobus-root-ids")

Attributes = Mapping[str, str | int | float | bool]


class DerivedIds(IdGenerator):
    """Random ids, but for a root span whose ids were put into the current context."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()

    def generate_trace_id(self) -> int:
        """The derived trace id where one is set."""
        ids = otel_context.get_value(_ROOT_KEY)
        return ids[0] if isinstance(ids, tuple) else self._random.generate_trace_id()

    def generate_span_id(self) -> int:
        """The derived span id where one is set."""
        ids = otel_context.get_value(_ROOT_KEY)
        return ids[1] if isinstance(ids, tuple) else self._random.generate_span_id()


class Telemetry:
    """The tracer of one process. `Telemetry.from_environment` is a no-op unless an OTLP endpoint is set."""

    def __init__(self, provider: TracerProvider | None, service: str) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("kaitobus") if provider else trace.NoOpTracer()
        self.service = service

    @classmethod
    def from_environment(cls, service: str, instance: str) -> Telemetry:
        """Export to OTEL_EXPORTER_OTLP_ENDPOINT by OTLP over HTTP; the sampler is OTEL_TRACES_SAMPLER's."""
        if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
            return cls(None, service)
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        resource = Resource.create(
            {"service.name": f"kaitobus-{service}", "service.namespace": "kaitobus", "service.instance.id": instance}
        )
        provider = TracerProvider(resource=resource, id_generator=DerivedIds())
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        return cls(provider, service)

    def shutdown(self) -> None:
        """Send what is waiting, and stop."""
        if self._provider:
            self._provider.shutdown()

    @contextmanager
    def span(
        self, name: str, message: Message, headers: Mapping[str, str] | None = None, kind: SpanKind = SpanKind.INTERNAL
    ) -> Iterator[trace.Span]:
        """A span of work on a message: a child of the span in its headers, else of the root of its trace."""
        parent = self.parent(message, headers or {})
        with self._tracer.start_as_current_span(
            name, context=parent, kind=kind, attributes=_attributes(message)
        ) as span:
            yield span

    def parent(self, message: Message, headers: Mapping[str, str]) -> Context:
        """The context to work in: that of the headers if it belongs to this generation's trace, else its root."""
        carried = _PROPAGATOR.extract(dict(headers))
        context = trace.get_current_span(carried).get_span_context()
        if context.trace_id == trace_id(message.uid, message.generation):
            return carried
        return self._root_context(message)

    def inject(self, message: Message) -> dict[str, str]:
        """The W3C headers to publish a message with: the current span if it is in this trace, else the root."""
        headers: dict[str, str] = {}
        current = trace.get_current_span().get_span_context()
        same = current.trace_id == trace_id(message.uid, message.generation)
        _PROPAGATOR.inject(headers, context=None if same else self._root_context(message))
        return headers

    def record(
        self,
        name: str,
        message: Message,
        start: datetime,
        end: datetime,
        *,
        root: bool = False,
        error: str | None = None,
        attributes: Attributes | None = None,
    ) -> None:
        """Write a span that is over: a long wait, with the times that were recorded for it."""
        if root:
            ids = (trace_id(message.uid, message.generation), root_span_id(message.uid, message.generation))
            context = otel_context.set_value(_ROOT_KEY, ids, Context())
        else:
            context = self._root_context(message)
        token = otel_context.attach(context)
        try:
            span = self._tracer.start_span(
                name,
                context=context,
                start_time=_nanoseconds(start),
                attributes=_attributes(message) | dict(attributes or {}),
            )
            if error:
                span.set_status(Status(StatusCode.ERROR, error))
            span.end(end_time=_nanoseconds(end))
        finally:
            otel_context.detach(token)

    def _root_context(self, message: Message) -> Context:
        ids = (trace_id(message.uid, message.generation), root_span_id(message.uid, message.generation))
        flags = TraceFlags(TraceFlags.SAMPLED if self._sampled(ids[0]) else TraceFlags.DEFAULT)
        return trace.set_span_in_context(
            NonRecordingSpan(SpanContext(*ids, is_remote=True, trace_flags=flags)), Context()
        )

    def _sampled(self, trace: int) -> bool:
        # The decision depends on the trace id alone, so every process comes to the same one.
        if self._provider is None:
            return True
        return self._provider.sampler.should_sample(None, trace, "workspace").decision is Decision.RECORD_AND_SAMPLE


def _attributes(message: Message) -> dict[str, str | int | float | bool]:
    return {
        "k8s.namespace.name": message.namespace,
        "kaito.workspace.name": message.name,
        "kaito.workspace.uid": message.uid,
        "kaito.workspace.generation": message.generation,
    }


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000_000)
