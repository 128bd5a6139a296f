"""Eight-bit weights and cache: the user's own choice, planned with what it saves, refused where no GPU can do it."""

from __future__ import annotations

import pytest

from services.scheduler.catalog import load_catalogue
from services.scheduler.engine_config import BadConfig, EngineConfig
from services.scheduler.facts import ModelFacts
from services.scheduler.memory_graphs import recorded_sizes
from services.scheduler.modes import Mode
from services.scheduler.sizing import DoesNotFit, Machine, Sizing, Wish, size
from services.scheduler.wishes import read_wish

CATALOGUE = load_catalogue()
H100 = Machine(gpus=1, gpu_memory_gib=79.1, cuda_compute_capability=9.0)
A100 = Machine(gpus=1, gpu_memory_gib=79.1, cuda_compute_capability=8.0)
L4 = Machine(gpus=1, gpu_memory_gib=22.0, cuda_compute_capability=8.9)
CPU = Machine(memory_gib=256)


def model(name: str) -> ModelFacts:
    found = CATALOGUE.resolve(name)
    assert isinstance(found, ModelFacts)
    return found


def fitting(name: str, where: Machine, **wish: object) -> Sizing:
    found = size(model(name), where, Wish.model_validate(wish))
    assert isinstance(found, Sizing), found
    return found


def refused(name: str, where: Machine, **wish: object) -> str:
    found = size(model(name), where, Wish.model_validate(wish))
    assert isinstance(found, DoesNotFit), found
    return found.reason


def test_fp8_weights_take_about_half_and_leave_the_rest_to_the_cache() -> None:
    plain, smaller = fitting("phi-4", H100), fitting("phi-4", H100, quantization="fp8")
    assert 0.5 < smaller.weights_gib / plain.weights_gib < 0.6  # the embeddings stay as they are
    assert smaller.kv_cache_gib - plain.kv_cache_gib == pytest.approx(plain.weights_gib - smaller.weights_gib, abs=0.1)
    assert smaller.dtype == "bfloat16"


def test_a_model_fits_a_smaller_gpu_with_fp8_weights() -> None:
    assert size(model("phi-4"), L4, Wish(), max_nodes=1) == DoesNotFit(reason=refused_alone("phi-4"))
    assert fitting("phi-4", L4, quantization="fp8").nodes == 1


def refused_alone(name: str) -> str:
    found = size(model(name), L4, Wish(), max_nodes=1)
    assert isinstance(found, DoesNotFit)
    assert "does not fit one GPU" in found.reason
    return found.reason


def test_an_fp8_cache_holds_twice_the_tokens() -> None:
    plain, smaller = fitting("phi-4", H100), fitting("phi-4", H100, cache_dtype="fp8")
    assert smaller.kv_tokens == pytest.approx(2 * plain.kv_tokens, rel=0.01)


def test_the_plan_says_what_it_costs() -> None:
    (weights,) = fitting("phi-4", H100, quantization="fp8").warnings
    assert weights.startswith("You chose fp8 weights: 14.")
    assert "instead of 27.3" in weights
    assert "answers change and may be worse" in weights
    (cache,) = fitting("phi-4", H100, cache_dtype="fp8_e5m2").warnings
    assert cache.startswith("You chose a cache of fp8_e5m2")
    assert "answers change and may be worse" in cache


def test_nobody_chooses_it_for_the_user() -> None:
    assert fitting("phi-4", H100).warnings == ()
    assert "quantization" not in fitting("phi-4", H100).reasons


@pytest.mark.parametrize("wish", [{"quantization": "fp8"}, {"cache_dtype": "fp8"}, {"cache_dtype": "fp8_e5m2"}])
def test_gpus_without_eight_bit_floats_refuse_it_in_words(wish: dict[str, object]) -> None:
    because = refused("phi-4", A100, **wish)
    assert "these GPUs have no 8-bit floats" in because
    assert "8.9 (Ada, Hopper or newer), and they have 8." in because
    assert "on GPUs only" in refused("smollm2-135m-instruct", CPU, **wish)


def test_a_checkpoint_that_is_fp8_already_stays_as_it_is() -> None:
    assert fitting("qwen3.6-35b-a3b-fp8", H100, quantization="fp8") == fitting("qwen3.6-35b-a3b-fp8", H100)


def test_other_weights_of_few_bits_cannot_become_fp8() -> None:
    assert "has awq-4 weights already" in refused("qwen3-8b-awq", H100, quantization="fp8")


def test_a_quantisation_that_is_not_planned_is_told() -> None:
    (warning,) = fitting("phi-4", H100, quantization="bitsandbytes").warnings
    assert "weights are planned as stored" in warning


class TestModes:
    """KAITO's performance modes, as the memory and the flags see them."""

    def test_throughput_doubles_the_step_and_the_requests_and_takes_memory_for_it(self) -> None:
        plain, mode = fitting("phi-4", H100), fitting("phi-4", H100, mode=Mode.THROUGHPUT)
        assert (mode.max_num_batched_tokens, mode.max_num_seqs) == (16_384, 2048)
        assert (plain.max_num_batched_tokens, plain.max_num_seqs) == (8192, 1024)
        assert mode.activation_gib > plain.activation_gib

    def test_a_step_that_leaves_too_little_cache_is_made_shorter(self) -> None:
        tight = Machine(gpus=1, gpu_memory_gib=22.0, cuda_compute_capability=8.6)
        assert fitting("llama-3.1-8b-instruct", tight, mode=Mode.THROUGHPUT).max_num_batched_tokens in (4096, 2048)

    def test_what_the_user_set_is_not_doubled(self) -> None:
        mode = fitting("phi-4", H100, mode=Mode.THROUGHPUT, batched=1024, sequences=8)
        assert (mode.max_num_batched_tokens, mode.max_num_seqs) == (1024, 8)

    def test_interactivity_records_every_small_graph(self) -> None:
        plain, mode = fitting("phi-4", H100), fitting("phi-4", H100, mode=Mode.INTERACTIVITY)
        assert mode.graphs_gib > plain.graphs_gib
        assert (mode.max_num_batched_tokens, mode.max_num_seqs) == (8192, 1024)

    def test_sizes_of_graphs_as_vllm_lists_them(self) -> None:
        assert recorded_sizes(40) == len([1, 2, 4, 8, 16, 24, 32, 40])
        assert recorded_sizes(40, fine=True) == len([*range(1, 33), 40])
        assert recorded_sizes(5, fine=True) == 5

    def test_balanced_is_what_there_is_without_a_mode(self) -> None:
        assert fitting("phi-4", H100, mode=Mode.BALANCED) == fitting("phi-4", H100)

    def test_the_config_and_the_annotation_must_not_contradict_each_other(self) -> None:
        config = EngineConfig(flags={"performance-mode": "throughput"})
        assert read_wish(config, {}, 0).mode is Mode.THROUGHPUT
        with pytest.raises(BadConfig, match="remove one of them"):
            read_wish(config, {"kaito.sh/performance-mode": "interactivity"}, 0)
        with pytest.raises(BadConfig, match="must be one of balanced, interactivity, throughput; it is 'turbo'"):
            read_wish(EngineConfig(flags={"performance-mode": "turbo"}), {}, 0)
