"""The transformers runtime as its clients see it: a real model, the official OpenAI client, one start for all tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionUserMessageParam

from deploy.local.engine import EngineEnv
from tests.engine.conftest import API_KEY, HF_ID, SERVED_NAME, Server, free_port, wait_until_ready
from tests.engine.failing_accelerator import FAILS_AT

pytestmark = pytest.mark.timeout(600)

ROOT = Path(__file__).parents[2]
QUESTION = "What is the capital of France?"
MESSAGES: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": QUESTION}]
LONGEST = 512


@contextmanager
def started(engine: EngineEnv, model: Path, log: Path, program: str, most: int) -> Iterator[Server]:
    """A server with room for so many requests; its port answers, and the model may not do so yet."""
    port = free_port()
    flags = [f"--model={HF_ID}", f"--served-model-name={SERVED_NAME}", "--dtype=float32", f"--max-model-len={LONGEST}"]
    where = ["--host=127.0.0.1", f"--port={port}", f"--api-key={API_KEY}"]
    command = [str(engine.python), "-m", program, *flags, *where]
    environment = os.environ | {"KAITOBUS_MODEL_DIR": str(model.parent), "KAITOBUS_MAX_REQUESTS": str(most)}
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield Server(f"http://127.0.0.1:{port}", process, log)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(timeout=30)


@pytest.fixture(scope="module")
def served(engine: EngineEnv, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("transformers") / "server.log"
    with started(engine, model, log, "services.inference.transformers_runtime", most=2) as running:
        first = first_answer(running)
        assert first["status"] == "starting"
        assert first["phase"] == "import"
        wait_until_ready(running)
        yield running


def first_answer(server: Server) -> dict[str, object]:
    """What /health says as soon as the port is open, which is long before the libraries have been read."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"{server.url}/health", timeout=10) as reply:
                return {"status": f"too late: {reply.status}"}
        except urllib.error.HTTPError as error:
            found: dict[str, object] = json.load(error)
            return found
        except urllib.error.URLError:
            assert time.monotonic() < deadline, server.log.read_text()[-1000:]
            time.sleep(0.05)


def status_of(server: Server, path: str, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(server.url + path, headers=headers), timeout=10) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture
def client(served: Server) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{served.url}/v1", api_key=API_KEY, timeout=60, max_retries=0) as opened:
        yield opened


def post(served: Server, path: str, body: bytes, key: str = API_KEY) -> tuple[int, dict[str, object]]:
    """Post as curl would; returns the status and the JSON answer."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{served.url}{path}", body, headers), timeout=60) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def metric(served: Server, name: str) -> float:
    with urllib.request.urlopen(f"{served.url}/metrics", timeout=10) as reply:
        lines = reply.read().decode().splitlines()
    return float(next(line for line in lines if line.startswith(f"kaitobus_transformers_{name}{{")).split()[-1])


def wait_for(served: Server, name: str, value: float, within: float = 20) -> None:
    deadline = time.monotonic() + within
    while metric(served, name) != value:
        assert time.monotonic() < deadline, f"{name} is {metric(served, name)}, not {value}"
        time.sleep(0.05)


def test_the_openai_client_gets_an_answer(client: OpenAI) -> None:
    reply = client.chat.completions.create(model=SERVED_NAME, messages=MESSAGES, max_tokens=32, temperature=0)
    assert reply.choices[0].message.content == "The capital of France is Paris."
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage is not None
    assert reply.usage.completion_tokens > 5


def test_the_openai_client_streams(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model=SERVED_NAME, messages=MESSAGES, max_tokens=4, temperature=0, stream=True,
        stream_options={"include_usage": True},
    )  # fmt: skip
    chunks = list(stream)
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert pieces == ["The", " capital", " of", " France"]
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "length"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 4


def test_a_stop_text_ends_the_answer_and_is_not_in_it(client: OpenAI) -> None:
    whole = client.chat.completions.create(model=SERVED_NAME, messages=MESSAGES, temperature=0, stop=[" of France"])
    assert (whole.choices[0].message.content, whole.choices[0].finish_reason) == ("The capital", "stop")
    stream = client.chat.completions.create(
        model=SERVED_NAME, messages=MESSAGES, temperature=0, stop=[" of France"], stream=True
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "The capital"


def test_a_completion_goes_on_with_the_prompt(client: OpenAI) -> None:
    asked = {"model": SERVED_NAME, "prompt": "One, two, three,"}
    reply = client.completions.create(**asked, max_tokens=3, temperature=0)  # type: ignore[call-overload]
    assert reply.choices[0].text == " four, five"
    stream = client.completions.create(**asked, max_tokens=3, temperature=0, stream=True)  # type: ignore[call-overload]
    assert "".join(chunk.choices[0].text for chunk in stream) == " four, five"


def test_the_same_seed_gives_the_same_choice(client: OpenAI) -> None:
    def told(seed: int) -> str | None:
        reply = client.chat.completions.create(
            model=SERVED_NAME, messages=MESSAGES, max_tokens=12, temperature=2, top_p=0.9, seed=seed
        )
        return reply.choices[0].message.content

    assert told(1) == told(1)
    assert len({told(seed) for seed in range(4)}) > 1


def test_the_model_is_listed_by_its_name(client: OpenAI) -> None:
    (found,) = client.models.list()
    assert found.id == SERVED_NAME


def test_chat_answers_as_kaito_did(served: Server) -> None:
    status, answer = post(served, "/chat", json.dumps({"prompt": QUESTION}).encode())
    assert (status, answer) == (200, {"Result": "The capital of France is Paris."})
    short = {"messages": MESSAGES, "generate_kwargs": {"max_new_tokens": 2, "do_sample": False}}
    assert post(served, "/chat", json.dumps(short).encode()) == (200, {"Result": "The capital"})


def test_what_cannot_be_done_is_refused_in_the_clients_own_terms(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="n is not possible"):
        client.chat.completions.create(model=SERVED_NAME, messages=MESSAGES, n=2)
    with pytest.raises(openai.BadRequestError, match="prompt and answer together may have 512 here"):
        client.chat.completions.create(model=SERVED_NAME, messages=MESSAGES, max_tokens=LONGEST)
    with pytest.raises(openai.NotFoundError, match="is not served here"):
        client.chat.completions.create(model="another", messages=MESSAGES)
    with pytest.raises(openai.BadRequestError, match="tokens that the model lacks"):
        client.completions.create(model=SERVED_NAME, prompt=[1, 10**8])
    with pytest.raises(openai.AuthenticationError, match="with its key"):
        client.with_options(api_key="wrong").chat.completions.create(model=SERVED_NAME, messages=MESSAGES)


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("/chat", b"{", 400, "not JSON"),
        ("/chat", b"{}", 400, "either prompt"),
        ("/chat", b'{"prompt": "a", "generate_kwargs": {"num_beams": 4}}', 400, "num_beams=4"),
        ("/v1/completions", b"[]", 400, "the body"),
        ("/v1/completions", b'{"prompt": ""}', 400, "prompt is empty"),
        ("/v1/embeddings", b"{}", 404, "no such route"),
    ],
)
def test_bad_bodies_are_refused_in_plain_words(served: Server, path: str, body: bytes, status: int, says: str) -> None:
    got, answer = post(served, path, body)
    assert got == status
    error = answer["error"]
    assert isinstance(error, dict)
    assert says in error["message"]


def long_story(client: OpenAI) -> openai.Stream[openai.types.Completion]:
    """A stream that would go on for all of the context."""
    return client.completions.create(
        model=SERVED_NAME, prompt="Once upon a time", max_tokens=LONGEST - 8, stream=True,
        extra_body={"min_tokens": LONGEST - 8},
    )  # fmt: skip


def test_a_full_line_sends_the_next_away_with_a_time(served: Server, client: OpenAI) -> None:
    first = long_story(client)
    next(iter(first))
    second = long_story(client)
    with pytest.raises(openai.RateLimitError, match="queue is full: 2 requests are in this server") as caught:
        client.completions.create(model=SERVED_NAME, prompt="a")
    assert int(caught.value.response.headers["Retry-After"]) >= 1
    second.close()
    first.close()
    wait_for(served, "requests", 0)


def test_a_client_that_leaves_ends_its_generation(served: Server, client: OpenAI) -> None:
    before = metric(served, "generation_tokens_total")
    stream = long_story(client)
    next(iter(stream))
    stream.close()
    wait_for(served, "requests", 0)
    assert metric(served, "generation_tokens_total") - before < LONGEST / 2


def test_a_client_that_leaves_before_its_whole_answer_ends_it_too(served: Server, client: OpenAI) -> None:
    before = metric(served, "generation_tokens_total")

    def impatient() -> None:
        with pytest.raises(openai.APITimeoutError):
            client.with_options(timeout=1).completions.create(
                model=SERVED_NAME, prompt="Once upon a time", max_tokens=LONGEST - 8,
                extra_body={"min_tokens": LONGEST - 8},
            )  # fmt: skip

    thread = threading.Thread(target=impatient)
    thread.start()
    thread.join(timeout=30)
    wait_for(served, "requests", 0)
    assert metric(served, "generation_tokens_total") - before < LONGEST / 2


def test_the_key_may_come_in_the_header_that_a_proxy_lets_through(served: Server) -> None:
    assert status_of(served, "/v1/models") == 401
    assert status_of(served, "/v1/models", **{"X-API-Key": "wrong"}) == 401
    assert status_of(served, "/v1/models", **{"X-API-Key": API_KEY}) == 200


def test_a_server_whose_accelerator_fails_ends_so_that_another_one_starts(
    engine: EngineEnv, model: Path, tmp_path: Path
) -> None:
    """What is under way is answered, and nobody new is sent there meanwhile."""
    with started(engine, model, tmp_path / "log", "tests.engine.failing_accelerator", most=3) as server:
        wait_until_ready(server)
        with OpenAI(base_url=f"{server.url}/v1", api_key=API_KEY, timeout=60, max_retries=0) as client:
            before = long_story(client)
            told: list[tuple[int, dict[str, object]]] = []
            body = json.dumps({"prompt": "a", "max_tokens": FAILS_AT}).encode()
            thread = threading.Thread(target=lambda: told.append(post(server, "/v1/completions", body)))
            thread.start()
            wait_for(server, "requests", 2)
            after = long_story(client)
            before.close()
            thread.join(timeout=60)
            assert told[0][0] == 500
            assert "CUDA error" in json.dumps(told[0][1])
            assert status_of(server, "/health") == 503
            after.close()
        assert server.process.wait(timeout=60) == 1
        assert "the accelerator has failed" in server.log.read_text()


def test_what_it_weighs_is_told_without_a_key(served: Server) -> None:
    with urllib.request.urlopen(f"{served.url}/kaitobus/memory", timeout=10) as reply:
        assert json.load(reply) == {"weights_gib": pytest.approx(0.501, abs=0.01)}


def test_sigterm_ends_it_well(served: Server) -> None:
    """Runs last: it ends the server that the tests above share."""
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(timeout=60) == 0
    lines = [json.loads(line) for line in served.log.read_text().splitlines() if line.startswith("{")]
    first = next(line for line in lines if line["message"].startswith("first token"))
    assert first["seconds"].keys() == {"import", "engine init", "first token"}
