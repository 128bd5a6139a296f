"""JSON logs of this service's own lines: one object a line on standard output."""

import json
import logging
import re
import sys
from datetime import UTC, datetime

LOGGER = "kaitobus.inference"

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?P<trace>[0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def trace_id(traceparent: str | None) -> str | None:
    """Return the trace id of a W3C `traceparent` (W3C Trace Context, section 3.2), None if it is not one."""
    match = _TRACEPARENT.fullmatch(traceparent or "")
    return match["trace"] if match else None


class JsonFormatter(logging.Formatter):
    """Writes a record as `{"time", "level", "message", "trace_id", ...}`; `extra={"fields": {...}}` adds keys."""

    def __init__(self, trace: str | None) -> None:
        super().__init__()
        self._trace = trace

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a traceback goes into its own key, so that the line stays one line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        if self._trace:
            line["trace_id"] = self._trace
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure_logs(traceparent: str | None) -> logging.Logger:
    """Return this service's logger, writing JSON lines; vLLM's own loggers are left to vLLM's flags."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(trace_id(traceparent)))
    logger = logging.getLogger(LOGGER)
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    return logger
