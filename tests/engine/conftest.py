"""A real vLLM server on this machine's CPUs, one for all tests of this tier."""

import os
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploy.local.engine import EngineEnv, ensure_engine, ensure_model

HF_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
SERVED_NAME = "smollm2-135m-instruct"
API_KEY = "a-key-of-the-tests"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT_SPAN_ID = "b7ad6b7169203331"

MAX_REQUESTS = 4
REVISION = "12fd25f77366fa6b3b4b768ec3050bf629380bac"

READY_WITHIN_S = 240.0
"""About 30 s on two idle cores; the first run on a machine reads 2 GB of libraries from disk."""

# float32: on a CPU the rounding of bfloat16 depends on the processor's matrix instructions, and this model's
# first token on the question about France is nearly a tie.
FLAGS = ["--model", HF_ID, "--served-model-name", SERVED_NAME, "--api-key", API_KEY]
CPU_FLAGS = ["--enforce-eager", "--dtype", "float32", "--max-model-len", "2048"]


@dataclass(frozen=True)
class Server:
    """A server that has said it is ready."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    told: list[tuple[int, str]] = field(default_factory=list)
    """What `/health` said until it was ready: status and body."""

    @property
    def folder(self) -> Path:
        """Where it reads when it is to measure itself, and keeps what it measured."""
        return self.log.parent


@dataclass(frozen=True)
class OtlpSink:
    """An OTLP/HTTP endpoint that keeps what it is sent."""

    url: str
    bodies: list[bytes] = field(default_factory=list)


@pytest.fixture(scope="session")
def engine() -> EngineEnv:
    return ensure_engine(print)


@pytest.fixture(scope="session")
def model() -> Path:
    return ensure_model(print)


@pytest.fixture(scope="session")
def otlp() -> Iterator[OtlpSink]:
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield OtlpSink(f"http://127.0.0.1:{server.server_port}", bodies)
        server.shutdown()


@pytest.fixture(scope="session")
def environment(model: Path, otlp: OtlpSink) -> dict[str, str]:
    """What the server is told in its environment."""
    return {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "KAITOBUS_MODEL_DIR": str(model.parent),
        "TRACEPARENT": f"00-{TRACE_ID}-{PARENT_SPAN_ID}-01",
        "OTEL_EXPORTER_OTLP_ENDPOINT": otlp.url,
        "KAITOBUS_MAX_REQUESTS": str(MAX_REQUESTS),
        "KAITOBUS_MODEL_REVISION": REVISION,
        "KAITOBUS_WORKSPACE": "default/smollm2",
        "KAITOBUS_BENCHMARK_SECONDS": "30",
    }


@pytest.fixture(scope="session")
def server(
    engine: EngineEnv, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("engine") / "server.log"
    with started(engine, [*FLAGS, *CPU_FLAGS], environment, log) as running:
        yield running


@contextmanager
def started(engine: EngineEnv, flags: list[str], environment: dict[str, str], log: Path) -> Iterator[Server]:
    """Run `kaitobus-inference` on a free port of 127.0.0.1 until the block ends."""
    port = free_port()
    command = [str(engine.bin / "kaitobus-inference"), *flags, "--host", "127.0.0.1", "--port", str(port)]
    wish, kept = log.with_name("benchmark"), log.with_name("kept")
    if not wish.exists():
        wish.write_text("off")
    environment = {"KAITOBUS_BENCHMARK": str(wish), "KAITOBUS_BENCHMARK_DIR": str(kept), **environment}
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=os.environ | environment, stdout=output, stderr=subprocess.STDOUT)
    running = Server(f"http://127.0.0.1:{port}", process, log)
    try:
        wait_until_ready(running)
        yield running
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(running: Server) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        if running.process.poll() is not None:
            break
        running.told.append(health(running.url))
        if running.told[-1][0] == 200:
            return
        time.sleep(0.2)
    pytest.fail(f"the engine did not get ready:\n{running.log.read_text()[-4000:]}")


def health(url: str) -> tuple[int, str]:
    """Status and body; 0 where nobody answers."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
        return 0, str(error)
