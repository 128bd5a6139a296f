"""The port answers from the first second; nobody is dropped when vLLM's app takes it over."""

import errno
import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.inference import front as front_module
from services.inference.files import model_files
from services.inference.flags import flag
from services.inference.front import Front, listen, reply
from services.inference.heard import Heard, Step
from services.inference.progress import ENGINE, FIRST_TOKEN, GIB, IMPORT, Files, Progress, look, phase_of

LOADING = Progress(Step.DOWNLOAD, 61.0, int(1.5 * GIB), 7 * GIB)


@pytest.fixture
def front() -> Iterator[Front]:
    sock = listen(["--host", "127.0.0.1", "--port", "0"])
    assert sock is not None
    running = Front(sock, lambda: LOADING)
    running.start()
    yield running
    running.stop()
    sock.close()


def ask(front: Front, method: str, path: str, body: bytes | None = None) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", front.sock.getsockname()[1], timeout=10)
    connection.request(method, path, body)
    response = connection.getresponse()
    return response, response.read()


def test_health_says_how_far_the_start_has_come(front: Front) -> None:
    response, body = ask(front, "GET", "/health")
    told = json.loads(body)
    assert response.status == 503
    assert told["phase"] == "download"
    assert told["message"] == (
        "The model is being downloaded, 1.5 of 7.0 GiB are here; the start has taken 61 s so far. "
        "Next the engine loads it into memory."
    )


def test_metrics_say_the_same_in_numbers(front: Front) -> None:
    response, body = ask(front, "GET", "/metrics")
    assert response.status == 200
    assert 'kaitobus_start_phase{phase="download"} 1' in body.decode()
    assert f"kaitobus_start_downloaded_bytes {LOADING.done_bytes}" in body.decode()
    assert f"kaitobus_start_total_bytes {7 * GIB}" in body.decode()


def test_everything_else_is_told_to_come_back(front: Front) -> None:
    response, body = ask(front, "POST", "/v1/chat/completions", b"x" * 1_000_000)
    assert response.status == 503
    assert int(response.headers["Retry-After"]) > 0
    assert json.loads(body)["error"]["message"] == LOADING.message


def test_what_is_no_http_hurts_nobody(front: Front) -> None:
    with socket.create_connection(front.sock.getsockname()) as raw:
        raw.sendall(b"\0" * 100_000)
        assert raw.recv(10) == b""
    assert ask(front, "GET", "/health")[0].status == 503


def test_where_nobody_can_be_accepted_it_does_not_look_without_a_pause(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = 0

    def full(_: socket.socket) -> tuple[socket.socket, object]:
        nonlocal tried
        tried += 1
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(front_module, "PAUSE_S", 0.5)
    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "accept", full)
        with socket.create_connection(front.sock.getsockname()):
            began = time.monotonic()
            for _ in range(200):  # turns of its loop, in each of which it could look
                turned = threading.Event()
                front._loop.call_soon_threadsafe(turned.set)
                assert turned.wait(10)
            assert 1 <= tried <= 2 + (time.monotonic() - began) / front_module.PAUSE_S
    assert ask(front, "GET", "/health")[0].status == 503


def test_who_comes_after_the_front_waits_for_the_next_server(front: Front) -> None:
    front.stop()
    with socket.create_connection(front.sock.getsockname(), timeout=5) as client:
        client.sendall(b"GET /health HTTP/1.1\r\n\r\n")
        front.sock.settimeout(5)
        accepted, _ = front.sock.accept()
        with accepted:
            accepted.settimeout(5)
            assert accepted.recv(100).startswith(b"GET /health")


def test_who_is_accepted_in_the_moment_in_which_the_front_ceases_is_answered(front: Front) -> None:
    held, go = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        go.wait(10)

    front._loop.call_soon_threadsafe(hold)
    assert held.wait(10)
    with socket.create_connection(front.sock.getsockname(), timeout=10) as client:
        client.sendall(b"GET /health HTTP/1.1\r\n\r\n")
        front._loop.call_soon_threadsafe(front._stop.set)  # the front finds both when it goes on
        go.set()
        front.stop()
        assert client.recv(100).startswith(b"HTTP/1.1 503")


def test_a_head_request_has_no_body() -> None:
    assert reply("/health", LOADING, body=False).endswith(b"\r\n\r\n")


@pytest.mark.parametrize("flags", [["--uds", "/tmp/x"], ["--ssl-keyfile=k"], ["--ssl_keyfile", "k"], ["--headless"]])
def test_a_server_elsewhere_or_with_tls_opens_its_own_port(flags: list[str]) -> None:
    assert listen(flags) is None


def test_flags_are_read_as_vllm_reads_them() -> None:
    argv = ["--port", "1", "--max_model_len=5", "--enforce-eager", "--port=2"]
    assert (flag(argv, "port"), flag(argv, "max-model-len"), flag(argv, "enforce-eager"), flag(argv, "host")) == (
        "2",
        "5",
        "",
        None,
    )


@pytest.mark.parametrize("phase", [IMPORT, ENGINE, FIRST_TOKEN, *Step, "something new"])
def test_every_phase_has_a_sentence_that_says_what_comes_next(phase: str) -> None:
    message = Progress(phase, 3.2).message
    assert re.search(r"3 s so far\. Next .+\.$", message)


def test_inside_of_the_engines_start_the_last_step_counts() -> None:
    steps = [Heard(Step.LOAD, 1, 2), Heard(Step.WARM_UP, 3)]
    assert phase_of(ENGINE, steps, downloading=False) == Step.WARM_UP
    assert phase_of(ENGINE, steps[:1], downloading=True) == Step.DOWNLOAD
    assert phase_of(ENGINE, [], downloading=False) == ENGINE
    assert phase_of(FIRST_TOKEN, steps, downloading=True) == FIRST_TOKEN


def test_the_growth_of_the_hubs_cache_is_the_download(tmp_path: Path) -> None:
    environ = {"HF_HOME": str(tmp_path), "KAITOBUS_WEIGHTS_GIB": "2"}
    files = model_files(["--model", "Org/Name"], environ)
    blobs = tmp_path / "hub" / "models--Org--Name" / "blobs"
    assert files == Files(blobs, 2 * GIB)
    assert look(files, ENGINE, list, 1.0) == Progress(ENGINE, 1.0, None, 2 * GIB)
    blobs.mkdir(parents=True)
    (blobs / "done").write_bytes(b"x" * 100)
    (blobs / "half.incomplete").write_bytes(b"x" * 11)
    assert look(files, ENGINE, list, 1.0) == Progress(Step.DOWNLOAD, 1.0, 111, 2 * GIB)


def test_a_folder_is_all_there(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x" * 100)
    files = model_files([f"--model={tmp_path}"], {})
    assert files is not None
    assert files.expected_bytes == files.count()[0] == 100


@pytest.mark.parametrize("gib", ["", "many"])
def test_without_a_plan_the_total_is_not_known(gib: str) -> None:
    files = model_files(["--model", "a/b"], {"KAITOBUS_WEIGHTS_GIB": gib, "HF_HUB_CACHE": "/c"})
    assert files == Files(Path("/c/models--a--b/blobs"), None)
    assert model_files([], {}) is None
