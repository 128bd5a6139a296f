"""A training configuration: KAITO's manifests are taken as they are, and what cannot be used is refused by name."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tuning.exit_codes import ExitCode, is_terminal
from services.tuning.read import BadTuning, read_tuning, unused
from services.tuning.sections import TuningConfig

KAITO = {
    "training_config": {
        "ModelConfig": {"torch_dtype": "bfloat16", "local_files_only": True, "device_map": "auto"},
        "QuantizationConfig": {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_compute_dtype": "bfloat16",
            "bnb_4bit_use_double_quant": True,
        },
        "LoraConfig": {"r": 16, "lora_alpha": 32, "lora_dropout": 0.1},
        "TrainingArguments": {
            "output_dir": "/mnt/results",
            "num_train_epochs": None,
            "ddp_find_unused_parameters": False,
            "save_strategy": "epoch",
            "per_device_train_batch_size": 2,
            "max_seq_length": 512,
        },
        "DataCollator": {"mlm": True},
        "DatasetConfig": {"shuffle_dataset": True, "train_test_split": 0.9},
    }
}


def refusal(content: object, method: str = "lora") -> str:
    with pytest.raises(BadTuning) as caught:
        read_tuning(content, method)
    return str(caught.value)


def test_kaitos_own_configuration_is_read() -> None:
    config = read_tuning(KAITO, "qlora")
    assert (config.lora.r, config.training.max_length, config.dataset.train_test_split) == (16, 512, 0.9)
    assert config.training.num_train_epochs == 3
    assert config.quantization.bits < 4.2


def test_sections_may_stand_at_the_top() -> None:
    assert read_tuning(KAITO["training_config"], "qlora") == read_tuning(KAITO, "qlora")


@pytest.mark.parametrize("content", [None, {}, {"training_config": None}, {"training_config": {"LoraConfig": None}}])
def test_without_a_word_the_defaults_are_kaitos(content: object) -> None:
    config = read_tuning(content, "lora")
    assert (config.lora.r, config.lora.lora_alpha, config.training.per_device_train_batch_size) == (8, 8, 1)
    assert config.to_sections() == {}


def test_qlora_has_four_bits_where_nothing_is_said() -> None:
    assert read_tuning(None, "QLoRA").quantization.load_in_4bit


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"LoraConfig": {"rank": 8}}, "LoraConfig has no key 'rank'"),
        ({"TrainingArguments": {"learning_rat": 1}}, "Did you mean learning_rate?"),
        ({"LoraConf": {}}, "There is no section 'LoraConf'. Did you mean LoraConfig?"),
        ({"Other": {}}, "There are DataCollator, DatasetConfig, LoraConfig"),
        ({"LoraConfig": {"r": "many"}}, "LoraConfig.r"),
        ({"LoraConfig": 8}, "LoraConfig must be a map"),
        ({"TrainingArguments": {"push_to_hub": True}}, "the result goes where tuning.output says"),
        ({"TrainingArguments": {"report_to": "wandb"}}, "progress is told in the Workspace's status"),
        ({"TrainingArguments": {"eval_strategy": "steps"}}, "measured once, at the end"),
        ({"ModelConfig": {"trust_remote_code": True}}, "is not run"),
        ({"QuantizationConfig": {"load_in_4bit": True}}, "set it to qlora"),
    ],
)
def test_what_cannot_be_used_is_named(sections: object, words: str) -> None:
    assert words in refusal({"training_config": sections})


def test_qlora_wants_exactly_one_quantization() -> None:
    both = {"QuantizationConfig": {"load_in_4bit": True, "load_in_8bit": True}}
    assert "exclude each other" in refusal(both, "qlora")
    assert "set load_in_4bit or load_in_8bit" in refusal(
        {"QuantizationConfig": {"bnb_4bit_quant_type": "nf4"}}, "qlora"
    )


def test_what_has_no_effect_is_told() -> None:
    told = " ".join(unused(read_tuning(KAITO, "qlora")))
    assert "save_strategy" in told
    assert list(unused(TuningConfig())) == []


def test_what_crosses_to_the_pod_is_read_there_as_it_was_written() -> None:
    config = read_tuning(KAITO, "qlora")
    assert read_tuning(config.to_sections(), "qlora") == config


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.dictionaries(st.text(), x), max_leaves=20
    )
)
def test_whatever_stands_there_gives_a_configuration_or_a_sentence(content: object) -> None:
    with suppress(BadTuning):
        assert read_tuning(content, "lora")


def test_only_bad_input_is_not_tried_again() -> None:
    assert [code for code in (0, 1, 65, 75, 137) if is_terminal(code)] == [ExitCode.BAD_INPUT]


def test_a_configuration_that_holds_itself_is_refused() -> None:
    content: dict[str, object] = {}
    content["training_config"] = content
    with pytest.raises(BadTuning):
        read_tuning(content, "lora")


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("TrainingArguments", "per_device_train_batch_size", int("9" * 400)),
        ("TrainingArguments", "learning_rate", float("inf")),
        ("TrainingArguments", "seed", 5_000_000_000),
    ],
)
def test_absurd_numbers_are_refused(section: str, key: str, value: object) -> None:
    with pytest.raises(BadTuning, match=key):
        read_tuning({section: {key: value}}, "lora")
