"""What fine-tuning takes: against what is known of models, and that more asks for more."""

from __future__ import annotations

import pytest

from services.scheduler.catalog import load_catalogue
from services.scheduler.facts import ModelFacts
from services.scheduler.memory_tuning import Training, adapter_parameters, needed_gib, tuning_memory
from services.scheduler.sizing_tuning import TuningSize, size_tuning, training_of
from services.scheduler.sizing_types import DoesNotFit, Machine
from services.tuning.read import read_tuning

CATALOGUE = load_catalogue()
CPU = Machine(memory_gib=16)
A10 = Machine(gpus=1, gpu_memory_gib=22.5, cuda_compute_capability=8.6)


def model(name: str) -> ModelFacts:
    found = CATALOGUE.resolve(name)
    assert isinstance(found, ModelFacts)
    return found


def needed(training: Training, name: str = "llama-3.1-8b-instruct") -> float:
    return needed_gib(tuning_memory(model(name).shapes, training, element_bytes=2, gpu=True, total_gib=80))


def test_a_frozen_model_weighs_what_its_checkpoint_does() -> None:
    memory = tuning_memory(model("llama-3.1-8b-instruct").shapes, Training(), element_bytes=2, gpu=True, total_gib=80)
    assert memory.weights_gib == pytest.approx(14.96, rel=0.01)


def test_in_four_bits_it_weighs_a_third_since_the_tables_stay() -> None:
    small = Training(bits=4.127)
    memory = tuning_memory(model("llama-3.1-8b-instruct").shapes, small, element_bytes=2, gpu=True, total_gib=80)
    # 6.98e9 weights of layers in 4.127 bits, and 1.05e9 of both tables in 16
    assert memory.weights_gib == pytest.approx((6.98e9 * 4.127 / 8 + 1.0506e9 * 2) / 2**30, rel=0.01)


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
