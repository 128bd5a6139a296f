"""Logs: one JSON object a line on standard error, with the ids of the trace that the line belongs to."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

from opentelemetry import trace

from services.contracts.identity import root_span_id, trace_id
from services.contracts.messages import Message

# What a LogRecord carries of itself; all else on it was given through `extra=` and belongs into the line.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

_ABOUT: ContextVar[tuple[int, int] | None] = ContextVar("kaitobus-log-about", default=None)


def about(message: Message) -> None:
    """Give the ids of a workspace's trace to all that this task logs outside of a span, until its `errand` is over.

    For what is looked at every few seconds: spans of that would fill a backend.
    """
    _ABOUT.set((trace_id(message.uid, message.generation), root_span_id(message.uid, message.generation)))


@contextmanager
def errand() -> Iterator[None]:
    """Begin something that is about no workspace yet."""
    token = _ABOUT.set(None)
    try:
        yield
    finally:
        _ABOUT.reset(token)


class JsonFormatter(logging.Formatter):
    """Writes a record as one JSON object: time (UTC), level, logger, message, trace ids, extras, error."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        context = trace.get_current_span().get_span_context()
        if ids := (context.trace_id, context.span_id) if context.is_valid else _ABOUT.get():
            line["trace_id"] = f"{ids[0]:032x}"
            line["span_id"] = f"{ids[1]:016x}"
        line.update({key: value for key, value in vars(record).items() if key not in _OWN})
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def setup_logs(level: str) -> None:
    """Send the logs of this process to standard error as JSON lines. Chatty libraries start at WARNING."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "faststream", "nats", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
