"""The pure parts of the transformers runtime: its flags, bodies, stop texts, and text out of tokens."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk
from pydantic import ValidationError

from services.inference.transformers_runtime import answers
from services.inference.transformers_runtime.accelerator import is_broken_by
from services.inference.transformers_runtime.detokenize import Detokenizer
from services.inference.transformers_runtime.options import parse_options
from services.inference.transformers_runtime.requests import ChatRequest, CompletionRequest, Sampling, faults
from services.inference.transformers_runtime.stops import Stops

HEAD = answers.Head("chatcmpl-1", 1, "smol")


class TestStops:
    """A text ends before the first stop text, however it is cut into pieces."""

    @given(
        st.text("abc", max_size=30),
        st.lists(st.text("abc", min_size=1, max_size=4), max_size=3),
        st.lists(st.integers(0, 30), max_size=8),
    )
    def test_pieces_make_no_difference(self, text: str, stops: list[str], cuts: list[int]) -> None:
        ends = [text.find(stop) for stop in stops if stop in text]
        expected = text[: min(ends)] if ends else text
        edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
        found = Stops(stops)
        given = "".join(found.feed(text[a:b]) for a, b in pairwise(edges)) + found.rest()
        # Of two stops that overlap, the one that is whole first ends the text: no later one is waited for.
        assert expected.startswith(given) or given.startswith(expected)
        assert not any(stop in given for stop in stops)
        assert found.hit == bool(ends)

    def test_what_may_become_a_stop_is_held_back_and_given_when_it_does_not(self) -> None:
        stops = Stops(["###"])
        assert (stops.feed("a#"), stops.feed("#"), stops.feed("b")) == ("a", "", "##b")
        assert (stops.feed("c##"), stops.rest()) == ("c", "##")

    def test_nothing_comes_after_a_stop(self) -> None:
        stops = Stops(["."])
        assert (stops.feed("a.b"), stops.feed("c"), stops.rest()) == ("a", "", "")


class AcceleratorError(RuntimeError):
    """As PyTorch names it."""


class OutOfMemoryError(RuntimeError):
    """As PyTorch names it."""


@pytest.mark.parametrize(
    ("error", "broken"),
    [
        (AcceleratorError("an illegal memory access was encountered"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling cublasSgemm"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), True),
        (OutOfMemoryError("CUDA out of memory. CUDA error: tried to allocate 2 GiB"), False),
        (RuntimeError("probability tensor contains either inf, nan or element < 0"), False),
        (ValueError("CUDA error: said by something else"), False),
    ],
)
def test_only_what_breaks_the_accelerator_ends_the_server(error: Exception, broken: bool) -> None:
    assert is_broken_by(error) is broken


@given(st.text(max_size=40))
def test_bytes_become_text_without_half_a_character(text: str) -> None:
    found = Detokenizer(lambda tokens: bytes(tokens).decode(errors="replace"))
    pieces = [found.feed(byte) for byte in text.encode()]
    assert "".join(pieces) + found.rest() == text


class TestBodies:
    """What is taken, and what is refused by name."""

    def test_the_likeliest_token_or_a_choice(self) -> None:
        assert Sampling(temperature=0).arguments() == {"do_sample": False}
        assert Sampling(temperature=1e-40).arguments() == {"do_sample": False}
        assert Sampling().arguments() == {}
        assert Sampling(top_p=0.9).arguments() == {"do_sample": True, "temperature": 1.0, "top_p": 0.9}
        assert Sampling(temperature=0.5, top_k=-1).arguments() == {"do_sample": True, "temperature": 0.5, "top_k": 0}
        assert Sampling(repetition_penalty=1.1).arguments() == {"repetition_penalty": 1.1}

    def test_the_newer_name_of_the_length_wins(self) -> None:
        body = {"messages": [{"role": "user", "content": "a"}], "max_tokens": 5, "max_completion_tokens": 7}
        assert ChatRequest.model_validate(body).sampling.max_tokens == 7

    def test_a_completion_has_sixteen_tokens_as_at_openai(self) -> None:
        assert CompletionRequest(prompt="a").sampling.max_tokens == 16

    def test_one_stop_or_many(self) -> None:
        assert CompletionRequest.model_validate({"prompt": "a", "stop": "x"}).sampling.stop == ("x",)
        assert CompletionRequest.model_validate({"prompt": "a", "stop": ["x", "y"]}).sampling.stop == ("x", "y")
        assert CompletionRequest.model_validate({"prompt": ["a"], "stop": None}).sampling.stop == ()

    def test_parts_of_text_are_one_text_and_developers_speak_for_the_system(self) -> None:
        turns = [
            {"role": "developer", "content": "short"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        ]
        assert ChatRequest.model_validate({"messages": turns}).conversation() == [
            {"role": "system", "content": "short"},
            {"role": "user", "content": "ab"},
        ]

    @pytest.mark.parametrize(
        ("more", "says"),
        [
            ({"n": 2}, "n is not possible with the transformers runtime"),
            ({"tools": [{"type": "function"}]}, "tools is not possible"),
            ({"logprobs": True}, "logprobs is not possible"),
            ({"response_format": {"type": "json_object"}}, "response_format is not possible"),
            ({"temperature": 3}, "temperature"),
            ({"repetition_penalty": 1e-300}, "repetition_penalty"),
            ({"max_tokens": 0}, "max_tokens"),
            ({"stop": ["x"] * 17}, "stop"),
            ({"prompt": ["a", "b"]}, "one prompt a request"),
            ({"prompt": 1}, "prompt"),
        ],
    )
    def test_what_cannot_be_done_is_refused_by_name(self, more: dict[str, object], says: str) -> None:
        with pytest.raises(ValidationError) as caught:
            CompletionRequest.model_validate({"prompt": "a", **more})
        assert says in faults(caught.value)

    def test_what_changes_nothing_is_taken(self) -> None:
        body = {"prompt": "a", "n": 1, "presence_penalty": 0, "user": "me", "logprobs": None, "echo": False}
        assert CompletionRequest.model_validate(body).prompt == "a"

    @pytest.mark.parametrize("body", [1, [], None, "text"])
    def test_a_body_that_is_no_object(self, body: object) -> None:
        with pytest.raises(ValidationError) as caught:
            ChatRequest.model_validate(body)
        assert "the body" in faults(caught.value)


class TestAnswers:
    """The shapes, read back by the client library's own classes."""

    def test_a_stream_of_chat_has_a_role_text_and_an_end(self) -> None:
        events = [
            answers.chat_chunk(HEAD, None, first=True),
            answers.chat_chunk(HEAD, "Hi"),
            answers.chat_chunk(HEAD, None, "stop"),
            answers.chat_usage(HEAD, answers.usage(3, 2)),
        ]
        read = [ChatCompletionChunk.model_validate_json(event.removeprefix("data: ")) for event in events]
        assert [chunk.choices[0].delta.role for chunk in read[:1]] == ["assistant"]
        assert read[1].choices[0].delta.content == "Hi"
        assert [chunk.choices[0].finish_reason for chunk in read[:3]] == [None, None, "stop"]
        assert read[3].usage is not None
        assert read[3].usage.total_tokens == 5

    def test_a_piece_of_a_completion_ends_nothing(self) -> None:
        chunk = json.loads(answers.completion_chunk(HEAD, "a").removeprefix("data: "))
        assert chunk["choices"] == [{"index": 0, "text": "a", "finish_reason": None, "logprobs": None}]
        last = json.loads(answers.completion_chunk(HEAD, "", "length").removeprefix("data: "))
        assert last["choices"][0]["finish_reason"] == "length"

    def test_an_error_has_the_shape_of_openais(self) -> None:
        found = answers.error(429, "wait")
        assert found == {"error": {"message": "wait", "type": "rate_limit_error", "param": None, "code": 429}}
        assert json.loads(answers.failed("no").removeprefix("data: "))["error"]["message"] == "no"


class TestOptions:
    """Flags with vLLM's names."""

    def test_what_the_deployer_renders_is_understood(self) -> None:
        line = ["--model=a/b", "--served-model-name=b", "--host=0.0.0.0", "--port=5000", "--dtype=bfloat16"]
        options = parse_options([*line, "--max-model-len=4096", "--revision=abc"], {})
        assert (options.model, options.served_model_name, options.max_model_len) == ("a/b", "b", 4096)
        assert options.api_keys == ()

    def test_a_key_by_flag_or_by_environment(self) -> None:
        assert parse_options(["--model=a"], {"VLLM_API_KEY": "k"}).api_keys == ("k",)
        assert parse_options(["--model=a", "--api-key", "x"], {"VLLM_API_KEY": "k"}).api_keys == ("x",)

    @pytest.mark.parametrize(
        "line", [[], ["--model=a", "--max-model-len=0"], ["--model=a", "--tensor-parallel-size=2"]]
    )
    def test_a_wrong_flag_ends_the_process_with_code_2(self, line: list[str]) -> None:
        with pytest.raises(SystemExit) as caught:
            parse_options(line, {})
        assert caught.value.code == 2
