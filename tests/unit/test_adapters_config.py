"""What an adapter's config says: rank, base model, and the same adapter weaker."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference.adapters.lora_config import LoraConfig, check_base, read_config, weakened
from services.inference.adapters.wanted import AdapterError
from services.inference.adapters.words import engine_words
from tests.lora.files import BASE, config


def read(**fields: object) -> LoraConfig:
    return read_config(json.dumps(config(**fields)).encode())


def scaling(found: LoraConfig, module: str) -> float:
    """What the matrices of a module are multiplied with, as PEFT computes it."""
    rank = (found.rank_pattern or {}).get(module, found.r)
    alpha = (found.alpha_pattern or {}).get(module, found.lora_alpha)
    return alpha / (math.sqrt(rank) if found.use_rslora else rank)


@given(
    st.floats(0, 1),
    st.integers(1, 512),
    st.floats(0.01, 1000),
    st.booleans(),
    st.dictionaries(st.sampled_from(["q_proj", "v_proj"]), st.integers(1, 64)),
    st.dictionaries(st.sampled_from(["q_proj", "v_proj"]), st.floats(0.01, 100)),
)
def test_the_strength_is_a_factor_of_what_each_module_adds(
    strength: float, rank: int, alpha: float, rslora: bool, ranks: dict[str, int], alphas: dict[str, float]
) -> None:
    found = read(r=rank, lora_alpha=alpha, use_rslora=rslora, rank_pattern=ranks, alpha_pattern=alphas)
    weak = read_config(weakened(found, strength))
    for module in ("q_proj", "v_proj", "o_proj"):
        assert scaling(weak, module) == pytest.approx(strength * scaling(found, module))
    assert weak.rank == found.rank


def test_all_other_fields_are_kept() -> None:
    found = json.loads(weakened(read(target_modules=["q_proj"], use_dora=True, unknown=[1]), 0.5))
    assert (found["target_modules"], found["use_dora"], found["unknown"]) == (["q_proj"], True, [1])


def test_the_largest_rank_of_all_modules_counts() -> None:
    assert read(r=8, rank_pattern={"a": 64, "b": 2}).rank == 64
    assert read(r=8, rank_pattern=None).rank == 8


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"\n<!DOCTYPE html><html>", "is a web page"),
        (b"[]", "cannot be used"),
        (b"{}", "r: Field required"),
        (b'{"r": 0, "lora_alpha": 1}', "r: Input should be greater than 0"),
        (b'{"r": "8", "lora_alpha": 1}', "r: Input should be a valid integer"),
        (b'{"r": 8, "lora_alpha": NaN}', "lora_alpha"),
        (b'{"r": 8, "lora_alpha": 1, "peft_type": "IA3"}', "of the kind IA3"),
        (b" " * (2**20 + 1), "which no adapter needs"),
    ],
)
def test_a_config_that_cannot_be_used_says_why(text: bytes, words: str) -> None:
    with pytest.raises(AdapterError, match=words):
        read_config(text)


@pytest.mark.parametrize(
    "message",
    [
        "vLLM does not yet support DoRA.",
        "Call to add_lora method failed: vLLM does not yet\n support DoRA.",
        "Call to add_lora method failed: Worker failed with error 'vLLM does not yet support DoRA.', please check the "
        "stack trace above for the root cause",
    ],
)
def test_of_the_engines_words_only_the_reason_is_told(message: str) -> None:
    assert engine_words(message) == "vLLM does not yet support DoRA."


@pytest.mark.parametrize(
    "named",
    [None, "", BASE, BASE.upper(), "SmolLM2-135M-Instruct", "/workspace/weights", "./model", "../m/x", "C:\\model",
     "https://huggingface.co/x/y", "a/b/c"],
)  # fmt: skip
def test_the_same_model_a_path_and_nothing_are_let_through(named: str | None) -> None:
    check_base(read(base_model_name_or_path=named), BASE)


@pytest.mark.parametrize("named", ["meta-llama/Llama-3.1-8B", "HuggingFaceTB/SmolLM2-360M-Instruct", "a/b"])
def test_another_model_is_refused_with_both_names(named: str) -> None:
    with pytest.raises(AdapterError) as refused:
        check_base(read(base_model_name_or_path=named), BASE)
    assert named in str(refused.value)
    assert BASE in str(refused.value)
