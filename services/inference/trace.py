"""Writes the start of the engine as one span with a child a phase or step, into the trace of the Workspace."""

import logging
import os
from collections.abc import Mapping

from services.inference.phases import Phases

EXPORT_TIMEOUT_S = 5


def wants_trace(environ: Mapping[str, str]) -> bool:
    """Tell whether there is a trace to continue (TRACEPARENT) and somewhere to send it."""
    return bool(environ.get("TRACEPARENT") and environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"))


def send_start(phases: Phases, log: logging.Logger, failure: str | None = None) -> None:
    """Export the start's spans if there is a trace to continue; tracing never ends a server."""
    if not wants_trace(os.environ):
        return
    try:
        export_start(phases, os.environ, failure)
    except Exception as error:
        log.warning("the start could not be traced: %s", error)


def export_start(phases: Phases, environ: Mapping[str, str], failure: str | None = None) -> None:
    """Send the start's spans to the OTLP endpoint; blocks up to some seconds, so call it from a thread.

    The spans are made from recorded times. The tracer provider is this function's own: the process-wide one
    belongs to vLLM. OpenTelemetry is imported only here, since a start without tracing should not pay for it.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.trace import Status, StatusCode, set_span_in_context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    name = environ.get("OTEL_SERVICE_NAME", "kaitobus-inference")
    provider = TracerProvider(resource=Resource.create({"service.name": name}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=EXPORT_TIMEOUT_S)))
    tracer = provider.get_tracer("services.inference")
    parent = TraceContextTextMapPropagator().extract({"traceparent": environ["TRACEPARENT"]})
    whole = phases.whole()
    span = tracer.start_span(whole.name, context=parent, start_time=whole.start_ns)
    for phase in (*phases.done, *phases.inner):
        child = tracer.start_span(phase.name, context=set_span_in_context(span), start_time=phase.start_ns)
        child.end(end_time=phase.end_ns)
    if failure is not None:
        span.set_status(Status(StatusCode.ERROR, failure))
    span.end(end_time=whole.end_ns)
    provider.shutdown()
