"""The inference server as its clients see it: real vLLM, a real model, the official OpenAI client."""

import json
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from openai import APIStatusError, OpenAI, RateLimitError, Stream
from openai.types import Completion
from openai.types.chat import ChatCompletionUserMessageParam

from deploy.local.engine import EngineEnv
from tests.engine.conftest import (
    API_KEY,
    CPU_FLAGS,
    FLAGS,
    MAX_REQUESTS,
    PARENT_SPAN_ID,
    REVISION,
    SERVED_NAME,
    TRACE_ID,
    OtlpSink,
    Server,
    health,
    started,
)
from tests.engine.waits import (
    benchmark,
    descendants,
    until_benchmark,
    until_ending,
    until_told,
    wait_for_spans,
    wait_until_gone,
)

pytestmark = pytest.mark.timeout(900)

QUESTION = "What is the capital of France?"
PHASES = {"import", "engine init", "load weights", "first token"}  # a warm-up only where the model is compiled
MESSAGES: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": QUESTION}]


@pytest.fixture
def client(server: Server) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server.url}/v1", api_key=API_KEY, timeout=60, max_retries=0) as opened:
        yield opened


def post_chat(server: Server, body: object, key: str = API_KEY) -> tuple[int, dict[str, object]]:
    """Post to `/chat` as curl would; returns the status and the JSON answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{server.url}/chat", data, headers), timeout=60) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def refused(server: Server, body: object) -> str:
    """Post what must be refused with 400; returns the error's message."""
    status, answer = post_chat(server, body)
    assert status == 400
    error = answer["error"]
    assert isinstance(error, dict)
    assert "Traceback" not in json.dumps(answer)
    return str(error["message"])


def test_the_port_answers_from_the_first_second_until_the_model_does(server: Server) -> None:
    answered = [(status, body) for status, body in server.told if status]
    unanswered = len(server.told) - len(answered)
    assert all(status == 0 for status, _ in server.told[:unanswered])  # once it answers, it always does
    assert {status for status, _ in answered[:-1]} == {503}
    told = [json.loads(body) for _, body in answered[:-1]]
    assert told[0]["phase"] == "import"
    assert {"engine init", "load weights"} <= {one["phase"] for one in told}
    assert told[-1]["downloaded_bytes"] == told[-1]["total_bytes"] > 200_000_000
    assert "Next" in told[0]["message"]


def test_the_openai_client_gets_an_answer(client: OpenAI) -> None:
    reply = client.chat.completions.create(model=SERVED_NAME, messages=MESSAGES, max_tokens=32, temperature=0)
    assert "Paris" in (reply.choices[0].message.content or "")
    assert reply.usage is not None
    assert reply.usage.completion_tokens > 0


def test_the_openai_client_streams(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model=SERVED_NAME, messages=MESSAGES, max_tokens=32, temperature=0, stream=True
    )
    pieces = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    assert len([piece for piece in pieces if piece]) > 1
    assert "Paris" in "".join(pieces)


def test_the_model_has_the_name_it_was_given_not_a_folder_of_the_node(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [SERVED_NAME]


def test_chat_answers_a_prompt_as_kaito_did(server: Server) -> None:
    status, answer = post_chat(server, {"prompt": QUESTION})
    assert status == 200
    assert answer.keys() == {"Result"}
    assert "Paris" in str(answer["Result"])
    assert QUESTION not in str(answer["Result"])


def test_chat_repeats_the_prompt_when_the_full_text_is_wanted(server: Server) -> None:
    _, answer = post_chat(server, {"prompt": QUESTION, "return_full_text": True})
    assert str(answer["Result"]).startswith(QUESTION)


def test_chat_answers_a_conversation(server: Server) -> None:
    _, answer = post_chat(server, {"messages": MESSAGES, "generate_kwargs": {"max_length": 32, "do_sample": False}})
    assert "Paris" in str(answer["Result"])


def test_generate_kwargs_reach_the_engine(server: Server) -> None:
    _, short = post_chat(server, {"prompt": QUESTION, "generate_kwargs": {"max_new_tokens": 3}})
    _, stopped = post_chat(server, {"prompt": QUESTION, "generate_kwargs": {"stop_strings": " of"}})
    assert short["Result"] == "The capital of"
    assert stopped["Result"] == "The capital"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"prompt": QUESTION, "generate_kwargs": {"temprature": 1}}, "generate_kwargs.temprature is not known"),
        ({"prompt": QUESTION, "generate_kwargs": {"num_beams": 4}}, "num_beams=4"),
        ({"prompt": QUESTION, "generate_kwargs": {"max_length": 100_000}}, "max_model_len=2048"),
        ({"prompt": QUESTION, "generate_kwargs": {"max_length": 1, "min_length": 2}}, "min_tokens"),
        ({"prompt": "word " * 5000}, "2048"),
        ({}, "either prompt"),
        ([1], "JSON object"),
        (b"{", "JSON"),
        (b"", "body"),
    ],
)
def test_chat_refuses_a_bad_body_in_plain_words(server: Server, body: object, says: str) -> None:
    assert says in refused(server, body)


def test_chat_asks_for_the_key_like_the_other_routes(server: Server) -> None:
    status, _ = post_chat(server, {"prompt": QUESTION}, key="wrong")
    assert status == 401


def test_metrics_are_vllms(server: Server) -> None:
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=10) as reply:
        assert f'vllm:generation_tokens_total{{engine="0",model_name="{SERVED_NAME}"}}' in reply.read().decode()


def test_our_log_lines_are_json_and_tell_when_the_first_token_came(server: Server) -> None:
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    first = next(line for line in lines if line["message"].startswith("first token"))
    assert first["trace_id"] == TRACE_ID
    assert first["seconds"].keys() == PHASES


def test_the_start_is_a_span_of_the_workspaces_trace(server: Server, otlp: OtlpSink) -> None:
    spans = {span.name: span for span in wait_for_spans(otlp)}
    whole = spans.pop("engine start")
    assert whole.trace_id.hex() == TRACE_ID
    assert whole.parent_span_id.hex() == PARENT_SPAN_ID
    assert spans.keys() == PHASES
    for span in spans.values():
        assert span.parent_span_id == whole.span_id
        assert whole.start_time_unix_nano <= span.start_time_unix_nano < span.end_time_unix_nano
        assert span.end_time_unix_nano <= whole.end_time_unix_nano


def test_what_the_engine_measured_is_told_without_a_key_and_in_the_metrics(server: Server) -> None:
    with urllib.request.urlopen(f"{server.url}/kaitobus/memory", timeout=10) as reply:
        memory = json.load(reply)
    assert memory["kv_cache_gib"] == 1
    assert memory["kv_tokens"] == pytest.approx(23_300, abs=50)  # 1 GiB by 46,080 bytes a token
    assert {memory[part] for part in ("weights_gib", "activation_gib", "non_torch_gib", "graphs_gib")} == {None}
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=10) as reply:
        metrics = reply.read().decode()
    assert 'kaitobus_engine_memory_gib{part="kv_cache"} 1.0' in metrics
    assert f"kaitobus_engine_kv_tokens {float(memory['kv_tokens'])}" in metrics


def test_a_models_card_tells_its_revision_and_its_workspace(client: OpenAI) -> None:
    (card,) = client.models.list()
    assert card.model_dump()["kaitobus"] == {"revision": REVISION, "workspace": "default/smollm2"}
    assert card.model_dump()["max_model_len"] == 2048  # vLLM's own fields are all there


def test_the_key_guards_all_that_costs_and_no_probe(server: Server) -> None:
    stranger = OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0)
    with stranger, pytest.raises(APIStatusError, match="401"):
        stranger.models.list()
    for path in ("/tokenize", "/invocations", "/chat"):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{server.url}{path}", b"{}", timeout=10)
    assert health(server.url)[0] == 200


def test_a_full_queue_is_429_with_the_time_to_come_back(client: OpenAI) -> None:
    streams = [long_stream(client, 600) for _ in range(MAX_REQUESTS)]
    try:
        with pytest.raises(RateLimitError) as caught:
            client.completions.create(model=SERVED_NAME, prompt="Hello", max_tokens=1)
        assert int(caught.value.response.headers["Retry-After"]) > 0
        assert f"{MAX_REQUESTS} requests are in this server" in caught.value.message
    finally:
        for stream in streams:
            stream.close()
    patient = client.with_options(max_retries=5)
    assert patient.completions.create(model=SERVED_NAME, prompt="Hello", max_tokens=1).choices


def long_stream(client: OpenAI, tokens: int) -> Stream[Completion]:
    """A stream that has begun and goes on for so many tokens."""
    stream = client.completions.create(
        model=SERVED_NAME, prompt="Hello", max_tokens=tokens, stream=True, extra_body={"ignore_eos": True}
    )
    next(stream)
    return stream


def test_nobody_is_measured_who_does_not_want_it(server: Server) -> None:
    found = benchmark(server)
    assert (found["state"], found["result"]) == ("off", None)
    assert "says off" in str(found["message"])


def test_on_request_it_measures_itself_and_a_users_request_goes_before(server: Server, client: OpenAI) -> None:
    (server.folder / "benchmark").write_text("now")
    until_benchmark(server, "running")
    long_stream(client, 5).close()
    until_told(server, "the benchmark is broken off, since a request came")
    found = until_benchmark(server, "done", "failed")
    result = found["result"]
    assert isinstance(result, dict), found
    assert result["key"]["engine"].startswith("vllm ")
    assert (result["key"]["revision"], result["asked"]) == (REVISION, "now")
    assert API_KEY not in json.dumps(found)
    peak = result["peak"]
    assert peak["tokens_per_minute"] == pytest.approx(5 * peak["output_tokens_per_minute"], rel=0.01)  # 128 and 32
    assert 0 < peak["first_token_ms"]["p50"] <= peak["first_token_ms"]["p99"]
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=10) as reply:
        metrics = reply.read().decode()
    assert f'kaitobus_benchmark_peak_tokens_per_minute{{tokens="all"}} {peak["tokens_per_minute"]}' in metrics
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    (told,) = [line for line in lines if line["message"].startswith("benchmark: ")]
    assert told["benchmark"]["peak"] == peak


def test_sigterm_lets_a_running_stream_finish_then_ends_without_leaving_children(
    server: Server, client: OpenAI
) -> None:
    """Runs last: it ends the server that the tests above share."""
    children = descendants(server.process.pid)
    assert len(children) >= 2
    stream = long_stream(client, 150)
    server.process.send_signal(signal.SIGTERM)
    until_ending(server)
    with pytest.raises(APIStatusError) as refused_now:
        client.completions.create(model=SERVED_NAME, prompt="Hello", max_tokens=1)
    assert refused_now.value.status_code == 503
    assert refused_now.value.response.headers["Connection"] == "close"
    assert int(refused_now.value.response.headers["Retry-After"]) > 0
    reasons = [choice.finish_reason for chunk in stream for choice in chunk.choices]
    assert len(reasons) > 100
    assert reasons[-1] == "length"
    assert server.process.wait(timeout=60) == 0
    wait_until_gone(children)


def test_the_same_server_started_again_knows_what_it_has_measured(
    server: Server, engine: EngineEnv, environment: dict[str, str]
) -> None:
    """Runs after the one above, whose server has ended."""
    (before,) = (server.folder / "kept").iterdir()
    (server.folder / "benchmark").write_text("idle")
    with started(engine, [*FLAGS, *CPU_FLAGS], environment, server.folder / "again.log") as again:
        found = until_benchmark(again, "done")
        assert found["result"] == json.loads(before.read_text())
        assert "is known" in again.log.read_text()
