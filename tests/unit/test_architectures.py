"""Which architectures are served, and what is said of the others."""

from __future__ import annotations

from services.scheduler.architectures import load_architectures
from services.scheduler.catalog import load_catalogue

KNOWN = load_architectures()


def test_every_model_of_the_catalogue_can_be_loaded() -> None:
    assert {model.architecture for model in load_catalogue().models} <= KNOWN.text


def test_what_the_catalogue_serves_with_transformers_is_known_there() -> None:
    assert {model.architecture for model in load_catalogue().models if model.transformers} <= KNOWN.transformers


def test_one_that_is_not_known_is_told_with_those_that_look_like_it() -> None:
    because = KNOWN.why_not("acme/x", "LamaForCausalLM")
    assert because is not None
    assert KNOWN.engine in because
    assert "LlamaForCausalLM" in because


def test_one_that_does_not_generate_text_is_told_as_such() -> None:
    assert "does not generate text" in (KNOWN.why_not("acme/x", "BertModel") or "")


def test_one_that_looks_like_nothing_has_no_hint() -> None:
    assert "nearest" not in (KNOWN.why_not("acme/x", "QQQQ") or "")


def test_those_without_adapters_are_among_those_that_generate_text() -> None:
    assert KNOWN.without_lora <= KNOWN.text
    assert "LlamaForCausalLM" not in KNOWN.without_lora
    assert "GPT2LMHeadModel" in KNOWN.without_lora
