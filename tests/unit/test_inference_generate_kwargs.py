"""What `generate_kwargs` of `/chat` mean to vLLM."""

import pytest
from pydantic import ValidationError

from services.inference.generate_kwargs import NEUTRAL, GenerateKwargs, request_fields


def fields(**given: object) -> dict[str, object]:
    return request_fields(GenerateKwargs.model_validate(given))


def test_nothing_given_leaves_sampling_to_the_model() -> None:
    assert fields() == {"max_tokens": 200, "min_tokens": 0, "stop_token_ids": [], "stop": []}


@pytest.mark.parametrize(
    ("given", "tokens"),
    [
        ({"max_length": 50}, 50),
        ({"max_new_tokens": 7}, 7),
        ({"max_length": 50, "max_new_tokens": 7}, 7),
        ({"max_length": None}, 200),
    ],
)
def test_lengths_count_the_answer(given: dict[str, object], tokens: int) -> None:
    assert fields(**given)["max_tokens"] == tokens


def test_fewest_tokens() -> None:
    assert fields(min_length=3)["min_tokens"] == 3
    assert fields(min_length=3, min_new_tokens=0)["min_tokens"] == 0


def test_no_sampling_takes_the_likeliest_token_whatever_else_is_given() -> None:
    greedy = fields(do_sample=False, temperature=0.7, top_k=5)
    assert greedy["temperature"] == 0
    assert "top_k" not in greedy


def test_sampling_starts_from_kaitos_values() -> None:
    sampled = fields(do_sample=True, temperature=0.7)
    assert (sampled["temperature"], sampled["top_k"], sampled["top_p"]) == (0.7, 10, 1.0)


def test_given_sampling_values_are_passed_alone() -> None:
    sampled = fields(temperature=0.3, repetition_penalty=1.1)
    assert sampled["temperature"] == 0.3
    assert sampled["repetition_penalty"] == 1.1
    assert "top_k" not in sampled


def test_ends_and_stops_may_be_one_or_many() -> None:
    assert fields(eos_token_id=2, stop_strings="END")["stop_token_ids"] == [2]
    assert fields(eos_token_id=[2, 3], stop_strings="END")["stop"] == ["END"]


def test_parameters_vllm_lacks_pass_at_values_that_change_nothing() -> None:
    neutral = {name: values[0] for name, values in NEUTRAL.items()}
    assert fields(**{**neutral, "typical_p": 1.0, "pad_token_id": 2}) == fields()


@pytest.mark.parametrize(("name", "value"), [("num_beams", 4), ("early_stopping", True), ("bad_words_ids", [[1]])])
def test_parameters_vllm_lacks_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        fields(**{name: value})


@pytest.mark.parametrize("given", [{"temprature": 1}, {"top_p": 0}, {"top_k": -1}, {"max_length": 0}])
def test_unknown_names_and_impossible_values_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(given))):
        fields(**given)
