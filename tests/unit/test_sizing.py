"""Sizing: what fits where, how it is cut over GPUs, and what people are told when it does not fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.scheduler.catalog import load_catalogue, load_skus
from services.scheduler.facts import ModelFacts, Sku
from services.scheduler.sizing import DoesNotFit, Machine, Sizing, Wish, size

CATALOGUE = load_catalogue()
SKUS: dict[str, Sku] = {sku.name: sku for sku in (*load_skus("azure"), *load_skus("aws"))}


def model(name: str) -> ModelFacts:
    found = CATALOGUE.resolve(name)
    assert isinstance(found, ModelFacts)
    return found


def machine(name: str) -> Machine:
    sku = SKUS[name]
    return Machine(
        gpus=sku.gpus,
        gpu_memory_gib=sku.gpu_usable_gib or 0,
        cuda_compute_capability=sku.compute_capability,
        interconnect=sku.interconnect,
    )


def fitting(name: str, where: Machine, context: int | None = None) -> Sizing:
    result = size(model(name), where, Wish(context=context))
    assert isinstance(result, Sizing), result
    return result


def reason(name: str, where: Machine, context: int | None = None) -> str:
    result = size(model(name), where, Wish(context=context))
    assert isinstance(result, DoesNotFit), result
    return result.reason


@pytest.mark.parametrize(
    ("name", "sku", "nodes"),
    [
        ("phi-4", "Standard_NV36ads_A10_v5", 2),
        ("phi-4-mini-instruct", "Standard_NV36ads_A10_v5", 1),
        ("llama-3.1-8b-instruct", "Standard_NV36ads_A10_v5", 1),
        ("qwen2.5-coder-32b-instruct", "Standard_NV36ads_A10_v5", 4),
        ("llama-3.3-70b-instruct", "Standard_NC96ads_A100_v4", 1),
        ("llama-3.3-70b-instruct", "Standard_NC40ads_H100_v5", 2),
        ("deepseek-r1-0528", "Standard_NC96ads_A100_v4", 3),
        ("deepseek-r1-0528", "Standard_ND96isr_H100_v5", 2),
        ("deepseek-r1-0528", "Standard_ND96isr_H200_v5", 1),
        ("deepseek-v4-pro", "Standard_ND96isr_H100_v5", 2),
    ],
)
def test_nodes_where_kaito_counts_the_same(name: str, sku: str, nodes: int) -> None:
    assert fitting(name, machine(sku)).nodes == nodes


def test_a_node_less_than_kaito_where_all_of_a_gpu_is_counted() -> None:
    # KAITO counts on 0.84 of a GPU and takes three.
    assert fitting("llama-3.3-70b-instruct", machine("Standard_NC24ads_A100_v4")).nodes == 2


def test_a_model_that_fits_one_gpu_is_copied_to_the_others_of_its_node() -> None:
    sizing = fitting("phi-4", machine("Standard_NC96ads_A100_v4"))
    assert (sizing.tensor_parallel, sizing.pipeline_parallel, sizing.data_parallel) == (1, 1, 4)
    assert sizing.gpus_per_node == 4


def test_a_larger_model_takes_as_few_gpus_of_its_node_as_serve_its_whole_context() -> None:
    sizing = fitting("llama-3.3-70b-instruct", machine("Standard_ND96isr_H100_v5"))
    assert (sizing.tensor_parallel, sizing.data_parallel, sizing.gpus_per_node) == (4, 2, 8)
    assert sizing.max_model_len == 131_072
    assert sizing.warnings == ()


def test_over_several_nodes_layers_are_dealt_out_and_every_gpu_is_used() -> None:
    sizing = fitting("deepseek-r1-0528", machine("Standard_ND96isr_H100_v5"))
    assert (sizing.tensor_parallel, sizing.pipeline_parallel, sizing.data_parallel) == (8, 2, 1)
    assert (sizing.nodes, sizing.gpus_per_node) == (2, 8)


def test_heads_that_do_not_divide_are_never_cut() -> None:
    # Phi-4 has 10 key-value heads: 2 GPUs can share them, 4 cannot, so two stages of two GPUs each are made.
    sizing = fitting("phi-4", machine("Standard_NC64as_T4_v3"))
    assert (sizing.tensor_parallel, sizing.pipeline_parallel, sizing.nodes) == (2, 2, 1)


def test_key_value_heads_are_shared_among_gpus_and_a_latent_cache_is_not() -> None:
    grouped = fitting("llama-3.3-70b-instruct", machine("Standard_NC48ads_A100_v4"))
    assert grouped.kv_bytes_per_token == 327_680 // 2
    latent = fitting("deepseek-r1-0528", machine("Standard_ND96isr_H200_v5"))
    assert (latent.tensor_parallel, latent.kv_bytes_per_token) == (8, 70_272)


def test_fewer_key_value_heads_than_gpus_are_copied() -> None:
    sizing = fitting("qwen3.5-397b-a17b-gptq-int4", machine("Standard_NC96ads_A100_v4"))
    assert sizing.tensor_parallel == 4
    assert sizing.kv_bytes_per_token == 122_880 // 2


def test_without_a_wish_the_context_is_what_the_memory_holds_and_the_plan_says_so() -> None:
    sizing = fitting("phi-3-mini-128k-instruct", machine("Standard_NV36ads_A10_v5"))
    assert 2048 <= sizing.max_model_len < 131_072
    assert sizing.max_model_len <= sizing.kv_tokens
    assert "could read 131072 tokens" in sizing.warnings[0]


def test_a_wish_for_more_context_takes_more_nodes() -> None:
    short = fitting("llama-3.1-8b-instruct", machine("Standard_NV36ads_A10_v5"), context=8192)
    long = fitting("llama-3.1-8b-instruct", machine("Standard_NV36ads_A10_v5"), context=100_000)
    assert (short.nodes, short.max_model_len) == (1, 8192)
    assert long.nodes > 1
    assert long.max_model_len == 100_000


@pytest.mark.parametrize(
    ("sku", "dtype"),
    [
        ("Standard_NC6s_v3", "float16"),
        ("Standard_NC4as_T4_v3", "float16"),
        ("Standard_NV36ads_A10_v5", "bfloat16"),
        ("Standard_NC24ads_A100_v4", "bfloat16"),
    ],
)
def test_gpus_without_bfloat16_compute_in_float16(sku: str, dtype: str) -> None:
    assert fitting("phi-3-mini-4k-instruct", machine(sku)).dtype == dtype


def test_quantised_weights_decide_the_type_themselves() -> None:
    assert fitting("qwen3-8b-awq", machine("Standard_NV36ads_A10_v5")).dtype == "auto"


def test_the_step_is_long_on_large_gpus_since_hopper_as_in_vllm() -> None:
    assert fitting("phi-4", machine("Standard_ND96isr_H100_v5")).max_num_batched_tokens == 8192
    assert fitting("phi-4", machine("Standard_NC24ads_A100_v4")).max_num_batched_tokens == 2048


def test_a_model_beyond_16_nodes_says_what_takes_the_room() -> None:
    said = reason("deepseek-r1-0528", machine("Standard_NV36ads_A10_v5"))
    assert said.startswith("deepseek-ai/DeepSeek-R1-0528 does not fit 16 GPUs of 22.0 GiB on 16 nodes:")
    assert "weights take 4" in said
    assert "at least 2048 are needed" in said


def test_a_context_beyond_the_models_own_is_refused_with_both_numbers() -> None:
    said = reason("phi-4", machine("Standard_NC24ads_A100_v4"), context=20_000)
    assert said == "microsoft/phi-4 reads at most 16384 tokens, and a context of 20000 was asked for."


def test_weights_for_which_a_gpu_has_no_kernels_are_refused() -> None:
    said = reason("ministral-3-3b-instruct", machine("Standard_NC6s_v3"))
    assert "fp8 weights" in said
    assert "compute capability 8.0" in said
    assert "these have 7.0" in said


def test_on_a_cpu_weights_cache_and_runtime_must_fit_the_memory() -> None:
    sizing = fitting("smollm2-135m-instruct", Machine(memory_gib=4))
    assert (sizing.dtype, sizing.gpus_per_node, sizing.nodes) == ("float32", 0, 1)
    assert sizing.max_model_len == 2048
    assert sizing.kv_cache_gib == 1
    assert sizing.memory_gib == pytest.approx(0.5 + 1 + 2.4, abs=0.01)


def test_on_a_cpu_a_long_context_takes_whole_gib_of_cache() -> None:
    sizing = fitting("phi-3-mini-4k-instruct", Machine(memory_gib=32), context=4096)
    assert sizing.kv_cache_gib == 4
    assert sizing.kv_tokens >= 4096


def test_on_a_cpu_too_small_a_memory_is_refused_with_the_sum() -> None:
    said = reason("llama-3.1-8b-instruct", Machine(memory_gib=16))
    assert "needs 33.3 GiB of memory without a GPU (29.9 for the weights" in said
    assert "16.0 are there" in said


def test_on_a_cpu_weights_that_need_a_gpu_are_refused() -> None:
    assert "mxfp4 weights, which vLLM runs on GPUs only" in reason("gpt-oss-20b", Machine(memory_gib=64))


def test_what_is_predicted_travels_in_the_plan() -> None:
    sizing = fitting("phi-4", machine("Standard_NC24ads_A100_v4"))
    predicted = sizing.prediction()
    assert (predicted.kv_tokens, predicted.kv_cache_gib) == (sizing.kv_tokens, sizing.kv_cache_gib)
    assert predicted.total_gib == 79.1


def hybrid() -> ModelFacts:
    config = json.loads(Path("tests/data/configs/qwen3-next-l12.json").read_text())
    return ModelFacts(
        id="org/hybrid", license="none", weights_gib=38, disk_gib=120, context=262_144, architecture="Qwen3Next",
        layers=12, heads=16, kv_heads=2, head_dim=256, config=config,
    )  # fmt: skip


def test_no_more_requests_at_once_than_there_are_blocks_for_their_states() -> None:
    tight = size(hybrid(), Machine(gpus=1, gpu_memory_gib=44, cuda_compute_capability=9.0))
    roomy = size(hybrid(), Machine(gpus=1, gpu_memory_gib=139.8, cuda_compute_capability=9.0))
    assert isinstance(tight, Sizing)
    assert isinstance(roomy, Sizing)
    assert (tight.max_num_seqs or 0) < 256
    assert roomy.max_num_seqs == 1024


def test_requests_at_once_are_counted_over_all_replicas_of_a_node() -> None:
    where = machine("Standard_NC96ads_A100_v4")
    asked = size(model("phi-4"), where, Wish(context=16_384, concurrency=40))
    assert isinstance(asked, Sizing)
    assert asked.concurrency >= 40
    assert asked.max_model_len == 16_384


def test_more_requests_at_once_shorten_the_context_that_nobody_asked_for() -> None:
    where = machine("Standard_NV36ads_A10_v5")
    alone, many = (size(model("llama-3.1-8b-instruct"), where, Wish(concurrency=count)) for count in (1, 10))
    assert isinstance(alone, Sizing)
    assert isinstance(many, Sizing)
    assert many.max_model_len < alone.max_model_len / 5
    assert f"holds a context of {many.max_model_len}, 10 times at once" in many.warnings[0]


def test_what_cannot_be_had_is_refused_with_the_nearest_that_can() -> None:
    where = machine("Standard_NV36ads_A10_v5")
    refused = size(model("llama-3.1-8b-instruct"), where, Wish(context=131_072, concurrency=64), max_nodes=1)
    assert isinstance(refused, DoesNotFit)
    nearest = int(refused.reason.split()[-1].rstrip("."))
    assert "The longest context that fits there 64 times at once is" in refused.reason
    for context, kind in ((nearest, Sizing), (nearest + 1, DoesNotFit)):
        wish = Wish(context=context, concurrency=64)
        assert isinstance(size(model("llama-3.1-8b-instruct"), where, wish, max_nodes=1), kind)
