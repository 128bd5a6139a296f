"""What fine-tuning takes: against what is known of models, and that more asks for more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.contracts.tuning import TuningMemory
from services.scheduler.catalog import load_catalogue
from services.scheduler.config_json import read_config_json
from services.scheduler.facts import ModelFacts
from services.scheduler.memory_tuning import adapter_parameters, needed_gib, tuning_memory
from services.scheduler.shapes import Shapes
from services.scheduler.sizing_tuning import TuningSize, size_tuning, training_of
from services.scheduler.sizing_types import DoesNotFit, Machine
from services.scheduler.tuning_activations import Training
from services.tuning.read import read_tuning

CONFIGS = Path(__file__).parents[1] / "data" / "configs"
CATALOGUE = load_catalogue()
CPU = Machine(memory_gib=16)
A10 = Machine(gpus=1, gpu_memory_gib=22.5, cuda_compute_capability=8.6)


def model(name: str) -> ModelFacts:
    found = CATALOGUE.resolve(name)
    assert isinstance(found, ModelFacts)
    return found


def shapes(name: str) -> Shapes:
    """Those of a config.json that was measured."""
    found = read_config_json(json.loads((CONFIGS / f"{name}.json").read_text()))
    assert isinstance(found, Shapes)
    return found


def needed(training: Training, name: str = "llama-3.1-8b-instruct") -> float:
    return needed_gib(tuning_memory(model(name).shapes, training, element_bytes=2, gpus=1, total_gib=80))


def test_a_frozen_model_weighs_what_its_checkpoint_does() -> None:
    memory = tuning_memory(model("llama-3.1-8b-instruct").shapes, Training(), element_bytes=2, gpus=1, total_gib=80)
    assert memory.weights_gib == pytest.approx(14.96, rel=0.01)


def test_in_four_bits_it_weighs_a_third_since_the_tables_stay() -> None:
    small = Training(bits=4.127)
    memory = tuning_memory(model("llama-3.1-8b-instruct").shapes, small, element_bytes=2, gpus=1, total_gib=80)
    # 6.98e9 weights of layers in 4.127 bits, and 1.05e9 of both tables in 16
    assert memory.weights_gib == pytest.approx((6.98e9 * 4.127 / 8 + 1.0506e9 * 2) / 2**30, rel=0.01)


@pytest.mark.parametrize(
    ("name", "training", "gpus", "measured"),
    [
        ("llama-3.1-8b", Training(), 1, 20.98),
        ("llama-3.1-8b", Training(batch=4), 1, 35.79),
        ("llama-3.1-8b", Training(batch=4, checkpointing=True, everywhere=True), 1, 18.92),
        ("llama-3.1-8b", Training(bits=4.127), 1, 11.02),
        ("llama-3.1-8b", Training(bits=4.127, batch=4, length=2048, checkpointing=True), 1, 11.05),
        ("llama-3.2-1b", Training(batch=8), 1, 13.93),
        ("llama-3.2-1b", Training(batch=2, length=256), 1, 3.82),
        ("llama-3.2-1b", Training(length=256), 2, 4.75),
    ],
)
def test_what_was_measured_on_gpus_fits_and_little_more_is_asked_for(
    name: str, training: Training, gpus: int, measured: float
) -> None:
    memory = tuning_memory(shapes(name), training, element_bytes=2, gpus=gpus, total_gib=140)
    assert measured <= needed_gib(memory) <= 1.17 * measured


def test_gpus_side_by_side_take_what_they_talk_with_and_contexts_of_the_others() -> None:
    one, two, eight = (
        tuning_memory(shapes("llama-3.2-1b"), Training(), element_bytes=2, gpus=gpus, total_gib=80).overhead_gib
        for gpus in (1, 2, 8)
    )
    assert two - one == pytest.approx(0.9 + 0.52)  # and the gradients once more, to add them up: below
    assert eight - two == pytest.approx(6 * 0.52)


def parts(name: str, training: Training, **of: float) -> TuningMemory:
    machine = {"element_bytes": 2, "gpus": 1, "total_gib": 80, **of}
    return tuning_memory(shapes(name), training, **machine)  # type: ignore[arg-type]


def test_gradients_that_gpus_add_up_are_kept_twice() -> None:
    wide = Training(rank=256, everywhere=True)
    one, two = (parts("llama-3.1-8b", wide, gpus=gpus).adapter_gib for gpus in (1, 2))
    assert two == pytest.approx(one * 20 / 16, rel=0.001)


def test_eight_bits_keep_the_input_of_each_matrix() -> None:
    eight, sixteen = (parts("llama-3.1-8b", Training(bits=bits)).activation_gib for bits in (8.1, 16))
    assert eight - sixteen == pytest.approx(1024 * 32 * 2 * (2 * 4096 + 14336) / 2**30, rel=0.01)


def test_experts_stay_as_they_are_in_four_bits() -> None:
    whole, small = (parts("qwen3-30b-a3b-l12", Training(bits=bits)).weights_gib for bits in (16, 4.127))
    assert small > 0.9 * whole


@pytest.mark.parametrize(
    ("name", "real", "padded"),
    [("qwen3-0.6b", 0.84, 0.78), ("gemma-2-9b", 0.91, 0.91), ("mixtral-8x7b-l8", 0.99, 0.99),
     ("qwen3-30b-a3b-l12", 0.65, 0.59), ("deepseek-v2-lite", 0.79, 0.79), ("falcon-h1-1.5b", 0.30, 0.23)],
)  # fmt: skip
def test_families_with_more_than_llama_are_counted_with_what_autograd_keeps_of_them(
    name: str, real: float, padded: float
) -> None:
    """`real` and `padded`: of the tensors that autograd saved of small layers in the shapes' ratio, with transformers
    5.19, the share that is counted where they are taken for Llama's.
    """
    found = shapes(name)
    heads = found.attention
    assert heads is not None
    width = max(found.intermediate, found.experts.chosen * found.experts.width + found.experts.shared_width
                if found.experts else 0)  # fmt: skip
    as_llama = 2 * (2 * heads.heads * heads.head_dim + heads.kv_heads * (heads.head_dim + heads.value_dim) + 3 * width)
    saved = (as_llama + 16 * found.hidden) / min(real, padded) * found.layers * 1024 / 2**30
    assert saved <= parts(name, Training()).activation_gib <= 2 * saved


def test_what_is_computed_in_16_bits_from_32_keeps_a_copy_of_each_matrix() -> None:
    plain, copied = (parts("llama-3.1-8b", Training(copied=on), element_bytes=4).weights_gib for on in (False, True))
    assert copied - plain == pytest.approx(6.98e9 * 2 / 2**30, rel=0.01)


@pytest.mark.parametrize(
    ("model_config", "capability", "eager"),
    [({}, 8.6, False), ({}, 7.0, True), ({"torch_dtype": "float32"}, 8.6, True)],
)
def test_heads_that_share_keys_are_fused_in_16_bits_on_ampere_and_newer_alone(
    model_config: dict[str, str], capability: float, eager: bool
) -> None:
    machine = Machine(gpus=1, gpu_memory_gib=141, cuda_compute_capability=capability)
    config = read_tuning({"ModelConfig": model_config}, "lora")
    size = size_tuning(model("llama-3.1-8b-instruct"), machine, config)
    assert isinstance(size, TuningSize)
    scores = 32 * 1024**2 * 32 * 4 / 2**30  # at least
    width = 4 if model_config else 2
    fused = parts("llama-3.1-8b", Training(), element_bytes=width).activation_gib
    assert (size.memory.activation_gib - fused >= scores) is eager


def test_where_shapes_are_guessed_the_weights_are_those_of_the_checkpoint() -> None:
    guessed = model("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16")
    assert guessed.shapes.guessed
    size = size_tuning(
        guessed, Machine(gpus=1, gpu_memory_gib=141, cuda_compute_capability=9.0), read_tuning(None, "lora")
    )
    told = size.memory.weights_gib if isinstance(size, TuningSize) else 0
    assert told == pytest.approx(guessed.weights_gib, rel=0.001)


def test_logits_are_never_whole_so_a_longer_batch_costs_its_layers_alone() -> None:
    tokens = 4096
    double, single = (
        needed_gib(tuning_memory(shapes("llama-3.2-1b"), Training(length=n), element_bytes=2, gpus=1, total_gib=80))
        for n in (2 * tokens, tokens)
    )
    assert (double - single) * 2**30 / tokens < 2.0e6  # 128,256 words in 16 and 32 bits would add 0.8e6


def test_an_adapter_of_all_layers_has_as_many_parameters_as_peft_says() -> None:
    # peft prints 41,943,040 for Llama 3.1 8B with r = 16 and all linear layers; joined matrices are counted once here
    assert adapter_parameters(
        model("llama-3.1-8b-instruct").shapes, Training(rank=16, everywhere=True)
    ) == pytest.approx(41_943_040, rel=0.25)


@pytest.mark.parametrize(
    "more",
    [
        Training(rank=64),
        Training(batch=2),
        Training(length=2048),
        Training(everywhere=True),
        Training(eager=True),
        Training(held_out=64),
    ],
)
def test_more_takes_more(more: Training) -> None:
    assert needed(more) > needed(Training())


def test_eager_attention_keeps_the_scores_of_all_layers() -> None:
    # 32 layers x 32 heads x 4096 x 4096 scores: 6 bytes of those that are kept, 12 of the layer at work
    eager, fused = (needed(Training(length=4096, eager=on)) for on in (True, False))
    assert eager - fused == pytest.approx(32 * 4096**2 * (31 * 6 + 12) / 2**30, rel=0.01)
    saving, plain = (needed(Training(length=4096, eager=on, checkpointing=True)) for on in (True, False))
    assert saving - plain == pytest.approx(32 * 4096**2 * 12 / 2**30, rel=0.01)


def test_what_the_user_sets_reaches_the_formula() -> None:
    sections = {"ModelConfig": {"attn_implementation": "eager"}, "DatasetConfig": {"train_test_split": 0.9},
                "TrainingArguments": {"per_device_eval_batch_size": 4}}  # fmt: skip
    training = training_of(read_tuning(sections, "lora"), 4096)
    assert (training.eager, training.held_out) == (True, 4)


@pytest.mark.parametrize("less", [Training(bits=4.127), Training(checkpointing=True), Training(optimizer="adamw_8bit")])
def test_each_way_to_save_saves(less: Training) -> None:
    assert needed(less) < needed(Training())


def test_a_small_model_is_tuned_without_a_gpu() -> None:
    size = size_tuning(model("smollm2-135m-instruct"), CPU, read_tuning(None, "lora"))
    assert isinstance(size, TuningSize)
    assert (size.gpus_per_node, size.batch, size.length) == (0, 1, 1024)
    assert size.memory.weights_gib == pytest.approx(0.5, abs=0.12)  # both tables are counted, and are one


def test_what_does_not_fit_is_told_with_its_parts_and_what_would_help() -> None:
    config = read_tuning({"TrainingArguments": {"per_device_train_batch_size": 4}}, "lora")
    size = size_tuning(model("phi-4"), A10, config)
    assert isinstance(size, DoesNotFit)
    for words in ("on each GPU", "for the weights", "qlora", "per_device_train_batch_size below 4", "checkpointing"):
        assert words in size.reason


def test_qlora_brings_a_14_b_model_onto_a_24_gib_gpu() -> None:
    saving = {"TrainingArguments": {"gradient_checkpointing": True}}
    assert isinstance(size_tuning(model("phi-4"), A10, read_tuning(saving, "qlora")), TuningSize)
    assert isinstance(size_tuning(model("phi-4"), A10, read_tuning(saving, "lora")), DoesNotFit)
