"""Spans of the work on a workspace: all in one trace, whose ids every process derives by itself."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import StatusCode

from services.chassis.telemetry import DerivedIds, Telemetry
from services.contracts.identity import root_span_id, trace_id, traceparent
from services.contracts.messages import PlanState
from tests.unit.samples import NOW, UID, plan_state

HALF = ParentBased(TraceIdRatioBased(0.5))


class Process:
    """The telemetry of one process, and what it exported."""

    def __init__(self, sampler: Sampler = ALWAYS_ON) -> None:
        self.exported = InMemorySpanExporter()
        provider = TracerProvider(sampler=sampler, id_generator=DerivedIds())
        provider.add_span_processor(SimpleSpanProcessor(self.exported))
        self.telemetry = Telemetry(provider, "test")

    def names(self) -> list[str]:
        return [span.name for span in self.exported.get_finished_spans()]


def context_of(headers: dict[str, str]) -> tuple[str, str, str]:
    _, trace_hex, span_hex, flags = headers["traceparent"].split("-")
    return trace_hex, span_hex, flags


def test_work_on_a_message_without_headers_hangs_under_the_derived_root() -> None:
    process = Process()
    with process.telemetry.span("work", plan_state()):
        pass
    (span,) = process.exported.get_finished_spans()
    assert span.context is not None
    assert span.parent is not None
    assert span.context.trace_id == trace_id(UID, 1)
    assert span.parent.span_id == root_span_id(UID, 1)


def test_work_on_a_message_hangs_under_what_sent_it() -> None:
    sender, receiver = Process(), Process()
    with sender.telemetry.span("send", plan_state()) as sent:
        headers = sender.telemetry.inject(plan_state())
    with receiver.telemetry.span("process", plan_state(), headers):
        pass
    (span,) = receiver.exported.get_finished_spans()
    assert span.parent is not None
    assert span.parent.span_id == sent.get_span_context().span_id


def test_headers_of_another_trace_are_not_followed() -> None:
    process = Process()
    with process.telemetry.span("work", plan_state(generation=2), {"traceparent": traceparent(UID, 1)}):
        pass
    (span,) = process.exported.get_finished_spans()
    assert span.context is not None
    assert span.context.trace_id == trace_id(UID, 2)


@pytest.mark.parametrize("headers", [{"traceparent": "nonsense"}, {"traceparent": ""}, {"other": "x"}])
def test_headers_that_cannot_be_read_are_no_headers(headers: dict[str, str]) -> None:
    process = Process()
    with process.telemetry.span("work", plan_state(), headers):
        pass
    assert process.names() == ["work"]


def test_a_message_about_another_workspace_is_sent_in_that_ones_trace() -> None:
    process = Process()
    with process.telemetry.span("work", plan_state()):
        headers = process.telemetry.inject(plan_state(uid="other"))
    assert context_of(headers)[0] == f"{trace_id('other', 1):032x}"


def test_the_root_has_the_derived_ids_whoever_writes_it_and_its_times_are_those_recorded() -> None:
    process = Process()
    process.telemetry.record("workspace", plan_state(), NOW, NOW + timedelta(seconds=90), root=True)
    (span,) = process.exported.get_finished_spans()
    assert span.context is not None
    assert (span.context.trace_id, span.context.span_id) == (trace_id(UID, 1), root_span_id(UID, 1))
    assert span.parent is None
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.end_time - span.start_time == 90_000_000_000


def test_a_long_wait_hangs_under_the_root_also_when_it_is_written_amid_other_work() -> None:
    process = Process()
    with process.telemetry.span("work", plan_state(uid="other")):
        process.telemetry.record("wait", plan_state(), NOW, NOW, error="quota exceeded")
    wait = next(span for span in process.exported.get_finished_spans() if span.name == "wait")
    assert wait.context is not None
    assert wait.parent is not None
    assert (wait.context.trace_id, wait.parent.span_id) == (trace_id(UID, 1), root_span_id(UID, 1))
    assert wait.context.span_id != root_span_id(UID, 1)
    assert wait.status.status_code is StatusCode.ERROR


def test_a_span_says_which_workspace_it_belongs_to() -> None:
    process = Process()
    process.telemetry.record("wait", plan_state(), NOW, NOW)
    attributes = dict(process.exported.get_finished_spans()[0].attributes or {})
    assert attributes == {
        "k8s.namespace.name": "team",
        "kaito.workspace.name": "w",
        "kaito.workspace.uid": UID,
        "kaito.workspace.generation": 1,
    }


class TestWithoutAnEndpoint:
    """Nothing is recorded, and the context travels all the same."""

    def test_there_is_no_provider(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
        telemetry = Telemetry.from_environment("test", "test-1")
        with telemetry.span("work", plan_state()) as span:
            assert not span.is_recording()
            assert telemetry.inject(plan_state())["traceparent"].split("-")[1] == f"{trace_id(UID, 1):032x}"
        telemetry.record("wait", plan_state(), NOW, NOW, root=True)
        telemetry.shutdown()

    def test_who_records_goes_on_in_the_same_trace(self) -> None:
        silent, recording = Telemetry(None, "silent"), Process()
        with silent.span("work", plan_state()):
            headers = silent.inject(plan_state())
        with recording.telemetry.span("process", plan_state(), headers):
            pass
        (span,) = recording.exported.get_finished_spans()
        assert span.context is not None
        assert span.context.trace_id == trace_id(UID, 1)

    def test_work_leaves_no_context_behind(self) -> None:
        with Telemetry(None, "silent").span("work", plan_state()):
            pass
        assert not trace.get_current_span().get_span_context().is_valid


@given(st.uuids())
def test_a_trace_is_sampled_whole_or_not_at_all(uid: object) -> None:
    message: PlanState = plan_state(uid=str(uid))
    sender, receiver = Process(HALF), Process(HALF)
    sender.telemetry.record("workspace", message, NOW, NOW, root=True)
    sender.telemetry.record("wait", message, NOW, NOW)
    with sender.telemetry.span("send", message):
        headers = sender.telemetry.inject(message)
    with receiver.telemetry.span("process", message, headers), receiver.telemetry.span("inner", message):
        pass
    assert len(sender.names()) + len(receiver.names()) in (0, 5)
    assert context_of(headers)[2] == ("01" if sender.names() else "00")
