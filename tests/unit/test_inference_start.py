"""How the start of the engine is timed, logged and tied to a trace."""

import json
import logging
from collections.abc import Iterator

import pytest

from services.inference.logs import JsonFormatter, trace_id
from services.inference.phases import Phase, Phases
from services.inference.trace import wants_trace

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def seconds(*ticks: int) -> Iterator[int]:
    return (tick * 10**9 for tick in ticks)


def test_phases_keep_their_times_and_the_whole() -> None:
    clock = seconds(0, 1, 8, 8, 30)
    phases = Phases(lambda: next(clock))
    with phases.phase("import"):
        pass
    with phases.phase("engine init"):
        pass
    assert [(phase.name, phase.seconds) for phase in phases.done] == [("import", 7.0), ("engine init", 22.0)]
    assert phases.whole() == Phase("engine start", 0, 30 * 10**9)


def test_a_failed_phase_is_kept() -> None:
    phases = Phases()

    def fail() -> None:
        with phases.phase("engine init"):
            raise OSError("no memory")

    with pytest.raises(OSError, match="no memory"):
        fail()
    assert [phase.name for phase in phases.done] == ["engine init"]


def test_a_log_line_is_one_json_object() -> None:
    record = logging.LogRecord("x", logging.INFO, "f", 1, "first token after %.1f s", (2.0,), None)
    record.fields = {"seconds": {"import": 1.5}}
    line = JsonFormatter(trace_id(TRACEPARENT)).format(record)
    parsed = json.loads(line)
    assert "\n" not in line
    assert parsed["message"] == "first token after 2.0 s"
    assert parsed["level"] == "info"
    assert parsed["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert parsed["seconds"] == {"import": 1.5}


@pytest.mark.parametrize("header", [None, "", "00-zz-zz-01", TRACEPARENT[:-1]])
def test_what_is_no_traceparent_gives_no_trace(header: str | None) -> None:
    assert trace_id(header) is None


def test_a_start_is_traced_only_with_a_trace_to_continue_and_an_endpoint() -> None:
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
    assert wants_trace({**endpoint, "TRACEPARENT": TRACEPARENT})
    assert not wants_trace(endpoint)
    assert not wants_trace({"TRACEPARENT": TRACEPARENT})
