"""What tests of a server wait for: a state, words in its log, the spans of its start, the end of its processes."""

import json
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.engine.conftest import OtlpSink, Server, health


def benchmark(server: Server) -> dict[str, object]:
    """What the server tells of its benchmark."""
    with urllib.request.urlopen(f"{server.url}/kaitobus/benchmark", timeout=10) as reply:
        found: dict[str, object] = json.load(reply)
    return found


def until_told(server: Server, words: str) -> None:
    """Until its log has these words."""
    deadline = time.monotonic() + 30
    while words not in server.log.read_text():
        assert time.monotonic() < deadline, words
        time.sleep(0.1)


def until_benchmark(server: Server, *states: str) -> dict[str, object]:
    """Until its benchmark is in one of these states."""
    deadline = time.monotonic() + 90
    while (found := benchmark(server))["state"] not in states:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


def until_ending(server: Server) -> None:
    """Until it takes no requests any more."""
    deadline = time.monotonic() + 5
    while (found := health(server.url))[0] != 503 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert found[0] == 503
    assert "ending" in found[1]


def wait_for_spans(otlp: OtlpSink) -> list[Span]:
    """The spans that have come, once there are any."""
    deadline = time.monotonic() + 15
    while not otlp.bodies and time.monotonic() < deadline:
        time.sleep(0.1)
    requests = [ExportTraceServiceRequest.FromString(body) for body in otlp.bodies]
    scopes = [scope for request in requests for resource in request.resource_spans for scope in resource.scope_spans]
    return [span for scope in scopes for span in scope.spans]


def descendants(pid: int) -> list[int]:
    """The pids of a process's children, and of theirs."""
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    children = [int(line) for line in listed.stdout.split()]
    return children + [grandchild for child in children for grandchild in descendants(child)]


def wait_until_gone(pids: list[int]) -> None:
    """Until none of these processes runs."""
    deadline = time.monotonic() + 20
    while (alive := [pid for pid in pids if is_alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert alive == []


def is_alive(pid: int) -> bool:
    """A zombie has ended; only its parent has not looked yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"
