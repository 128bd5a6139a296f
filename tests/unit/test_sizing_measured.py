"""Predicted memory against what vLLM 0.26 reported on one H200 (139.80 GiB), with the shapes of public models."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from services.scheduler.catalog import load_catalogue
from services.scheduler.facts import ModelFacts
from services.scheduler.memory import on_each_gpu
from services.scheduler.parallelism import Split

H200_GIB = 139.80
CATALOGUE = load_catalogue()


class Measured(NamedTuple):
    """One start of the engine: sizes in GiB."""

    model: str
    utilization: float
    batched: int
    weights: float
    activation: float
    graphs: float
    cache: float
    tokens: int


ROWS = [
    Measured("phi-3-mini-4k-instruct", 0.9, 16384, 7.12, 1.12, 0.66, 117.36, 320_448),
    Measured("phi-4-mini-instruct", 0.9, 16384, 7.2, 1.33, 0.83, 117.07, 958_992),
    Measured("phi-4", 0.9, 16384, 27.39, 2.2, 0.91, 96.01, 503_360),
    Measured("llama-3.1-8b-instruct", 0.154, 2048, 15.0, 1.01, 0.59, 5.29, 43_328),
    Measured("llama-3.1-8b-instruct", 0.9, 8192, 15.0, 1.1, 0.98, 109.49, 896_912),
    Measured("llama-3.1-8b-instruct", 0.9, 16384, 15.0, 1.78, 0.99, 108.81, 891_392),
    Measured("gemma-2-9b", 0.9, 16384, 17.22, 1.93, 0.85, 106.45, 331_875),
    Measured("llama-3.1-8b-instruct-fp8", 0.9, 16384, 8.54, 1.78, 0.91, 115.27, 1_888_592),
    Measured("llama-3.1-8b-instruct", 0.84, 16384, 15.0, 1.72, 0.99, 100.48, 823_168),
]

GEMMA_2_9B = ModelFacts(
    id="google/gemma-2-9b", license="gemma", weights_gib=17.22, disk_gib=97, context=8192,
    architecture="Gemma2ForCausalLM", layers=42, heads=16, kv_heads=8, head_dim=256, hidden_size=3584,
    intermediate_size=14336, vocab_size=256_000, kv_upper_bound=True,
)  # fmt: skip


def shape(name: str) -> ModelFacts:
    """The measured model; two of them are not in the catalogue."""
    if name == "gemma-2-9b":
        return GEMMA_2_9B
    found = CATALOGUE.resolve(name.removesuffix("-fp8"))
    assert isinstance(found, ModelFacts)
    if name.endswith("-fp8"):
        return found.model_copy(update={"weights_gib": 8.54, "flags": {"kv-cache-dtype": "fp8"}})
    return found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.model}-{row.utilization}-{row.batched}")
def test_the_cache_is_never_promised_larger_than_it_was_and_at_most_15_percent_smaller(row: Measured) -> None:
    predicted = on_each_gpu(shape(row.model), Split(), H200_GIB, row.utilization, row.batched)
    assert 0.85 * row.tokens <= predicted.kv_tokens <= row.tokens
    assert 0.85 * row.cache <= predicted.kv_cache_gib <= row.cache


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.model}-{row.utilization}-{row.batched}")
def test_weights_activation_and_graphs_are_not_underrated(row: Measured) -> None:
    predicted = on_each_gpu(shape(row.model), Split(), H200_GIB, row.utilization, row.batched)
    assert row.weights <= predicted.weights_gib <= 1.02 * row.weights
    assert row.activation <= predicted.activation_gib <= row.activation + 0.3
    assert row.graphs <= predicted.graphs_gib
