"""The user's engine settings: what is taken, what is refused, and in which words."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.engine_config import BadConfig, EngineConfig, read_config


def config(text: str) -> EngineConfig:
    return read_config({"inference_config.yaml": text})


def test_without_a_config_map_nothing_is_set() -> None:
    assert read_config({}) == EngineConfig()


@pytest.mark.parametrize("text", ["", "vllm:", "vllm: {}", "kv_cache_cpu_memory_utilization: 0.5"])
def test_an_empty_config_sets_nothing(text: str) -> None:
    assert config(text) == EngineConfig()


def test_flags_are_taken_in_either_spelling() -> None:
    read = config("vllm:\n  max_num_seqs: 16\n  --swap-space: 2\n  seed: '7'")
    assert read.flags == {"max-num-seqs": "16", "swap-space": "2", "seed": "7"}


def test_true_is_a_switch_and_false_leaves_the_flag_out() -> None:
    assert config("vllm: {enable-prefix-caching: true, enforce-eager: false, seed: null}").flags == {
        "enable-prefix-caching": ""
    }


def test_context_and_utilisation_are_what_sizing_works_with() -> None:
    read = config("vllm: {max-model-len: 4096, gpu-memory-utilization: 0.8}")
    assert (read.max_model_len, read.gpu_memory_utilization, read.flags) == (4096, 0.8, {})


def test_auto_context_means_as_much_as_fits() -> None:
    assert config("vllm: {max-model-len: auto}").max_model_len is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("vllm: [1, 2]", "must hold a map named vllm"),
        ("just a text", "must hold a map named vllm"),
        ("vllm: {a: {b: c}}", "vllm.a must be a text"),
        ("vllm: {max-model-len: -5}", "whole number above 0"),
        ("vllm: {max-model-len: lots}", "whole number above 0"),
        ("vllm: {gpu-memory-utilization: 1.5}", "at most 1"),
        ("vllm: {gpu-memory-utilization: much}", "at most 1"),
        ("vllm: {tensor_parallel_size: 8}", "remove tensor-parallel-size"),
        ("vllm: {port: 80}", "remove port"),
        ("a: b: c", "is not YAML"),
        ("[" * 30_000, "is nested too deep"),
        ("{a: " * 8_000, "is nested too deep"),
        ("- " * 16_000, "is nested too deep"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(BadConfig, match=words):
        config(text)


@given(st.text())
def test_no_text_gives_anything_but_settings_or_a_sentence(text: str) -> None:
    with contextlib.suppress(BadConfig):
        assert isinstance(config(text), EngineConfig)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 3000,
        "vllm: {" + "a" * 40_000,
        "vllm:\n  x: 2001-99-99",
        "vllm:\n  x: !!bool maybe",
        "vllm:\n  x: !!timestamp soon",
        "vllm: {a: !!int x}",
        "vllm:\n  max-model-len: " + "9" * 5000,
        "vllm:\n  max-model-len: 0x" + "f" * 5000,
        'vllm:\n  max-model-len: "²"',
        'vllm:\n  x: "\\ud800"',
        'vllm:\n  "\\ud800": x',
        'vllm:\n  x: "a\\0b"',
    ],
)
def test_whatever_stands_in_it_the_answer_is_a_sentence(text: str) -> None:
    with pytest.raises(BadConfig) as raised:
        read_config({"inference_config.yaml": text})
    assert len(str(raised.value).encode()) < 1000
