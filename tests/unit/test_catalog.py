"""The catalogue of models: complete, consistent, and kind to people who misspell a name."""

from __future__ import annotations

import pytest

from services.scheduler.catalog import Catalogue, load_catalogue
from services.scheduler.facts import Gone, ModelFacts, Unknown


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


def model(catalogue: Catalogue, name: str) -> ModelFacts:
    found = catalogue.resolve(name)
    assert isinstance(found, ModelFacts), found
    return found


def test_it_holds_the_60_models_of_kaito_and_the_small_one(catalogue: Catalogue) -> None:
    assert len(catalogue.models) == 61
    assert len({m.id.lower() for m in catalogue.models}) == 61


def test_every_model_answers_to_its_id_and_to_its_short_name_in_any_case(catalogue: Catalogue) -> None:
    for facts in catalogue.models:
        for name in (facts.id, facts.id.upper(), facts.name, facts.name.title(), f" {facts.name} "):
            assert catalogue.resolve(name) is facts


@pytest.mark.parametrize(
    ("alias", "model_id"),
    [
        ("phi-4", "microsoft/phi-4"),
        ("phi-4-mini-instruct", "microsoft/Phi-4-mini-instruct"),
        ("llama-3.1-8b-instruct", "meta-llama/Llama-3.1-8B-Instruct"),
        ("llama-3.3-70b-instruct", "meta-llama/Llama-3.3-70B-Instruct"),
        ("deepseek-r1-distill-llama-8b", "deepseek-ai/DeepSeek-R1-Distill-Llama-8B"),
        ("deepseek-r1-distill-qwen-14b", "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B"),
        ("deepseek-r1-0528", "deepseek-ai/DeepSeek-R1-0528"),
        ("deepseek-v3-0324", "deepseek-ai/DeepSeek-V3-0324"),
        ("phi-3-mini-4k-instruct", "microsoft/Phi-3-mini-4k-instruct"),
        ("phi-3-mini-128k-instruct", "microsoft/Phi-3-mini-128k-instruct"),
        ("phi-3-medium-4k-instruct", "microsoft/Phi-3-medium-4k-instruct"),
        ("phi-3-medium-128k-instruct", "microsoft/Phi-3-medium-128k-instruct"),
        ("phi-3.5-mini-instruct", "microsoft/Phi-3.5-mini-instruct"),
        ("qwen2.5-coder-7b-instruct", "Qwen/Qwen2.5-Coder-7B-Instruct"),
        ("qwen2.5-coder-32b-instruct", "Qwen/Qwen2.5-Coder-32B-Instruct"),
        ("gpt-oss-20b", "openai/gpt-oss-20b"),
        ("gpt-oss-120b", "openai/gpt-oss-120b"),
        ("gemma-3-4b-instruct", "google/gemma-3-4b-it"),
        ("gemma-3-27b-instruct", "google/gemma-3-27b-it"),
        ("mistral-7b", "mistralai/Mistral-7B-v0.3"),
        ("mistral-7b-instruct", "mistralai/Mistral-7B-Instruct-v0.3"),
        ("ministral-3-3b-instruct", "mistralai/Ministral-3-3B-Instruct-2512"),
        ("ministral-3-8b-instruct", "mistralai/Ministral-3-8B-Instruct-2512"),
        ("ministral-3-14b-instruct", "mistralai/Ministral-3-14B-Instruct-2512"),
        ("mistral-large-3-675b-instruct", "mistralai/Mistral-Large-3-675B-Instruct-2512"),
    ],
)
def test_the_25_old_names_lead_to_todays_models(catalogue: Catalogue, alias: str, model_id: str) -> None:
    assert model(catalogue, alias).id == model_id


@pytest.mark.parametrize(
    "name",
    [
        *("falcon-7b", "falcon-7b-instruct", "falcon-40b", "falcon-40b-instruct", "phi-2"),
        *(f"llama-2-{size}{kind}" for size in ("7b", "13b", "70b") for kind in ("", "-chat")),
    ],
)
def test_a_name_that_is_gone_says_which_living_model_to_use(catalogue: Catalogue, name: str) -> None:
    found = catalogue.resolve(name.upper())
    assert isinstance(found, Gone)
    assert "no longer served" in found.message
    proposed = [word.rstrip(".") for word in found.message.split("use ")[1].split()]
    assert any(isinstance(catalogue.resolve(word), ModelFacts) for word in proposed)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("phi-3-mini-4k", "phi-3-mini-4k-instruct"),
        ("lama-3.1-8b-instruct", "llama-3.1-8b-instruct"),
        ("microsoft/phi4", "microsoft/phi-4"),
        ("smollm2-135m", "smollm2-135m-instruct"),
    ],
)
def test_a_near_miss_is_told_the_name_it_missed(catalogue: Catalogue, typed: str, meant: str) -> None:
    found = catalogue.resolve(typed)
    assert isinstance(found, Unknown)
    assert found.suggestions[0] == meant
    assert f"'{typed}'" in found.message
    assert f"Did you mean {meant}" in found.message


def test_a_name_like_no_other_gets_no_guess(catalogue: Catalogue) -> None:
    found = catalogue.resolve("zzzzzz")
    assert isinstance(found, Unknown)
    assert found.message == "The catalogue has no model 'zzzzzz'."


@pytest.mark.parametrize(
    ("name", "attention", "bytes_per_token"),
    [
        ("phi-3-mini-4k-instruct", "mha", 393_216),
        ("llama-3.1-8b-instruct", "gqa", 131_072),
        ("phi-4", "gqa", 204_800),
        ("gemma-4-e2b-it", "mqa", 35_840),
        ("deepseek-r1-0528", "mla", 70_272),
        ("mistral-small-4-119b-2603", "mla", 23_040),
        ("smollm2-135m-instruct", "gqa", 23_040),
        ("deepseek-v3.2", "mla", 70_272 + 61 * 132),
        ("deepseek-v4-pro", "mqa", 124_928 // 2),
    ],
)
def test_a_token_costs_what_the_attention_keeps_of_it(
    catalogue: Catalogue, name: str, attention: str, bytes_per_token: int
) -> None:
    facts = model(catalogue, name)
    assert facts.attention == attention
    assert facts.kv_bytes_per_token == bytes_per_token


def test_settings_follow_the_model_and_not_the_look_of_its_name(catalogue: Catalogue) -> None:
    assert model(catalogue, "phi-4-mini-instruct").tool_call_parser == "phi4_mini_json"
    assert model(catalogue, "deepseek-r1-distill-llama-8b").tool_call_parser is None
    assert model(catalogue, "deepseek-r1-distill-llama-8b").reasoning_parser == "deepseek_r1"
    assert model(catalogue, "mistral-7b-instruct").load_format == "mistral"
    assert model(catalogue, "deepseek-v3.2").flags["tokenizer-mode"] == "deepseek_v32"
    assert "tokenizer-mode" not in model(catalogue, "deepseek-r1-0528").flags
    assert model(catalogue, "minimax-m2.7").flags["enable-expert-parallel"] == ""


def test_only_models_whose_licence_asks_for_it_are_gated(catalogue: Catalogue) -> None:
    gated = {facts.name for facts in catalogue.models if facts.gated}
    assert gated == {"llama-3.1-8b-instruct", "llama-3.3-70b-instruct", "gemma-3-4b-it", "gemma-3-27b-it"}
