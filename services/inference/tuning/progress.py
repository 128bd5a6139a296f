"""How far a run has come: kept in a file, told over HTTP as JSON and as metrics. Without PyTorch."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

FIGURES: Final[Mapping[str, tuple[str, str]]] = {
    "step": ("kaitobus_tuning_step", "Steps that are done."),
    "steps": ("kaitobus_tuning_steps", "Steps in all."),
    "loss": ("kaitobus_tuning_loss", "Loss of the last step."),
    "evalLoss": ("kaitobus_tuning_eval_loss", "Loss on the data that was held out, at the end."),
    "tokensPerSecond": ("kaitobus_tuning_tokens_per_second", "Tokens that are trained on a second."),
    "secondsLeft": ("kaitobus_tuning_seconds_left", "Seconds that the steps which are left will take."),
}
"""The numbers that are told, by their names in `/progress`: name and help as metrics."""


class Progress:
    """A file with the newest numbers. Only one process writes; the numbers of an earlier one are kept."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[str, object]:
        """What is known now."""
        try:
            found = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def tell(self, phase: str, **numbers: object) -> None:
        """Add to what is known. Whoever reads finds the old or the new."""
        known = {**self.read(), "phase": phase, **numbers}
        draft = self._path.with_suffix(".draft")
        draft.write_text(json.dumps(known))
        draft.replace(self._path)


def metrics(known: Mapping[str, object]) -> bytes:
    """The numbers in Prometheus' text format."""
    registry = CollectorRegistry()
    for key, (name, help_text) in FIGURES.items():
        value = known.get(key)
        if isinstance(value, int | float):
            Gauge(name, help_text, registry=registry).set(value)
    return generate_latest(registry)


def serve(progress: Progress, port: int, host: str = "0.0.0.0") -> ThreadingHTTPServer:  # noqa: S104 - a pod's address
    """Answer `/progress`, `/metrics` and `/health` in a thread of its own until the process ends."""

    class Handler(BaseHTTPRequestHandler):
        """GET only."""

        timeout = 10

        def do_GET(self) -> None:
            """Answer."""
            path = self.path.partition("?")[0]
            if path == "/progress":
                self._send(200, "application/json", json.dumps(progress.read()).encode())
            elif path == "/metrics":
                self._send(200, CONTENT_TYPE_LATEST, metrics(progress.read()))
            else:
                self._send(200 if path == "/health" else 404, "text/plain", b"")

        def _send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            """Say nothing: probes would hide all else in the log."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="progress", daemon=True).start()
    return server
