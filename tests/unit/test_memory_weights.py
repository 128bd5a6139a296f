"""Weights by tensor: what is counted, cut, copied and rounded up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.scheduler.config_json import read_config_json
from services.scheduler.memory_weights import MIB, Tensor, stored_bytes, tensors, weights_bytes
from services.scheduler.shapes import Quantization, Shapes
from services.scheduler.split import Split, stage

GIB = 2**30
FP8 = Quantization(method="fp8", bits=8)


def shapes(name: str) -> Shapes:
    found = read_config_json(json.loads(Path(f"tests/data/configs/{name}.json").read_text()))
    assert isinstance(found, Shapes), found
    return found


def named(model: Shapes, split: Split) -> dict[str, Tensor]:
    return {tensor.name: tensor for tensor in tensors(model, split)}


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("llama-3.1-8b", 8.030),
        ("phi-4", 14.659),
        ("gemma-2-9b", 9.241),
        ("qwen2.5-7b", 7.615),
        ("deepseek-v2-lite", 15.706),
        ("falcon-7b", 6.921),
        ("opt-6.7b", 6.658),
    ],
)
def test_the_parameters_are_those_that_the_publishers_count(name: str, billions: float) -> None:
    assert stored_bytes(shapes(name)) / 2e9 == pytest.approx(billions, rel=0.005)


def test_a_tied_table_is_held_once_but_by_both_ends_of_a_pipeline() -> None:
    tied = shapes("qwen3-0.6b")
    assert named(tied, Split())["embedding"].copies == 1
    assert named(shapes("llama-3.1-8b"), Split())["embedding"].copies == 2
    assert named(shapes("llama-3.1-8b"), Split(pipeline=2))["embedding"].copies == 1


def test_heads_of_keys_are_copied_where_they_are_fewer_than_gpus() -> None:
    model = shapes("qwen2.5-7b")  # 28 query heads, 4 key-value heads of 128
    assert named(model, Split(tensor=4))["queries, keys, values"].elements == 3584 * (7 + 2) * 128
    falcon = shapes("falcon-7b")  # one head of keys for 71 of queries
    assert named(falcon, Split())["queries, keys, values"].elements == 4544 * (71 + 2) * 64


def test_latent_projections_are_whole_on_every_gpu_and_expansions_are_cut() -> None:
    model = shapes("deepseek-v2-lite")
    alone, four = named(model, Split()), named(model, Split(tensor=4))
    assert four["latent of keys and values"] == alone["latent of keys and values"]
    assert four["keys and values"].elements * 4 == alone["keys and values"].elements


def test_experts_are_sliced_or_dealt_out() -> None:
    model = shapes("qwen3-30b-a3b-l12")
    alone = named(model, Split())["experts, in"].elements
    assert named(model, Split(tensor=4))["experts, in"].elements * 4 == alone
    assert named(model, Split(tensor=4, expert_parallel=True))["experts, in"].elements * 4 == alone
    assert named(model, Split(tensor=4))["router"] == named(model, Split())["router"]


def test_fewer_bits_leave_the_embeddings_alone() -> None:
    model = shapes("llama-3.1-8b")
    quantized = model.model_copy(update={"quantization": FP8})
    tables = 2 * model.vocab * model.hidden * 2
    assert stored_bytes(quantized) == pytest.approx(tables + (stored_bytes(model) - tables) / 2, rel=0.001)


def test_the_allocator_keeps_small_rests_of_large_tensors() -> None:
    assert Tensor("even", 12 * MIB // 2, 16).allocated == 12 * MIB
    assert Tensor("rest of 1 MiB", 11 * MIB // 2, 16).allocated == 12 * MIB
    assert Tensor("rest is given away", int(10.5 * MIB) // 2, 16).allocated == int(10.5 * MIB)
    assert Tensor("small", 3 * MIB // 2, 16).allocated == 3 * MIB


@pytest.mark.parametrize("layers", range(1, 100))
@pytest.mark.parametrize("pipeline", [1, 2, 3, 4, 7])
def test_stages_hold_all_layers_and_the_fullest_is_told(layers: int, pipeline: int) -> None:
    if pipeline <= layers:
        assert len(stage(layers, pipeline)) == -(-layers // pipeline)
        assert 0 <= stage(layers, pipeline)[0] <= stage(layers, pipeline)[-1] < layers


def test_two_gpus_take_half_each_and_little_more() -> None:
    model = shapes("llama-3.1-8b")
    whole = weights_bytes(model, Split())
    assert whole / 2 <= weights_bytes(model, Split(tensor=2)) <= 0.51 * whole
    assert whole / 2 <= weights_bytes(model, Split(pipeline=2)) <= 0.51 * whole
