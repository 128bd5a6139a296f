"""Logs: one JSON object a line, whatever is logged."""

from __future__ import annotations

import json
import logging
import sys

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from services.chassis.logs import JsonFormatter, setup_logs


def line(message: str = "hello", *args: object, **of: object) -> dict[str, object]:
    record = logging.LogRecord("services.test", logging.WARNING, __file__, 1, message, args, None)
    record.__dict__.update(of)
    text = JsonFormatter().format(record)
    assert "\n" not in text
    parsed: dict[str, object] = json.loads(text)
    return parsed


def test_when_how_grave_who_and_what() -> None:
    found = line("%s of %d", "one", 2)
    assert (found["level"], found["logger"], found["message"]) == ("warning", "services.test", "one of 2")
    assert str(found["time"]).endswith("+00:00")


def test_what_was_given_beside_the_message_stands_beside_it() -> None:
    assert line(workspace="team/w", delay=0.5).items() >= {"workspace": "team/w", "delay": 0.5}.items()


def test_outside_of_a_trace_there_are_no_ids() -> None:
    assert "trace_id" not in line()


def test_inside_a_trace_there_are() -> None:
    context = SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=TraceFlags(1))
    with trace.use_span(NonRecordingSpan(context)):
        assert line()["trace_id"] == f"{0xABC:032x}"
        assert line()["span_id"] == f"{0xDEF:016x}"


def test_an_error_is_one_field_of_the_line() -> None:
    try:
        int("no\ngood")
    except ValueError:
        assert "ValueError: invalid literal" in str(line(exc_info=sys.exc_info())["error"])


@pytest.mark.parametrize("odd", [object(), {1, 2}, b"\xff", "\ud800", "two\nlines"])
def test_whatever_is_logged_the_line_is_json(odd: object) -> None:
    assert "odd" in line(odd=odd)


def test_chatty_libraries_start_at_warning(capsys: pytest.CaptureFixture[str]) -> None:
    before = logging.getLogger().handlers[:], logging.getLogger().level
    try:
        setup_logs("info")
        logging.getLogger("nats").info("noise")
        logging.getLogger("services.x").info("word")
        assert [json.loads(text)["message"] for text in capsys.readouterr().err.splitlines()] == ["word"]
    finally:
        logging.getLogger().handlers[:], _ = before
        logging.getLogger().setLevel(before[1])
