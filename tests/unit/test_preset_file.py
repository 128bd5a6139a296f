"""A model is added to a file of presets; all else in it stays as it was."""

from __future__ import annotations

import difflib
from importlib.resources import files

import pytest

from services.cli.errors import CliError
from services.cli.preset_file import add_entry, entry
from services.scheduler.catalog import load_catalogue, parse_catalogue
from services.scheduler.facts import ModelFacts

PRESETS = files("presets").joinpath("models.yaml").read_text(encoding="utf-8")
NEW = ModelFacts(
    id="acme/small-1b", revision="0123456789" * 4, license="apache-2.0", weights_gib=2.3, disk_gib=83, context=4096,
    architecture="LlamaForCausalLM", layers=16, heads=32, kv_heads=8, head_dim=64, gated=True, quantization="fp8",
    flags={"kv-cache-dtype": "fp8", "enforce-eager": ""},
)  # fmt: skip


def test_it_comes_after_the_last_model_and_nothing_else_changes() -> None:
    added = add_entry(PRESETS, NEW, "Read today.")
    changes = [line for line in difflib.ndiff(PRESETS.splitlines(), added.splitlines()) if line[0] in "+-"]
    assert [line[0] for line in changes] == ["+"] * len(changes)
    assert changes[0] == "+ # Read today."
    catalogue = parse_catalogue(added)
    assert catalogue.models[-1] == catalogue.resolve("SMALL-1B")
    assert catalogue.models[-1].model_dump() == NEW.model_dump()  # the reasons of its flags stand elsewhere
    assert catalogue.models[:-1] == load_catalogue().models


def test_several_can_be_added_one_after_another() -> None:
    twice = add_entry(add_entry(PRESETS, NEW, "a"), NEW.model_copy(update={"id": "acme/other"}), "b")
    assert [model.name for model in parse_catalogue(twice).models[-2:]] == ["small-1b", "other"]


@pytest.mark.parametrize("model", load_catalogue().models, ids=lambda model: model.name)
def test_every_model_can_be_written_and_read_again(model: ModelFacts) -> None:
    lines = list(entry(model))
    assert all(len(line) <= 120 for line in lines)
    text = "\n".join(["models:", *lines, "aliases: {}", "gone: {}"])
    (found,) = parse_catalogue(text).models
    assert found.model_dump() == model.model_dump()  # the reasons of its flags stand elsewhere in the file


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (NEW.model_copy(update={"id": "microsoft/phi-4"}), "already"),
        (NEW.model_copy(update={"id": "acme/phi-4"}), "names both"),
    ],
    ids=["the same model", "another of the same short name"],
)
def test_what_is_there_is_not_written_over(model: ModelFacts, words: str) -> None:
    with pytest.raises(CliError, match=words):
        add_entry(PRESETS, model, "")


@pytest.mark.parametrize("text", ["", "a: 1\n", "models:\n- {id: x}\n", "models:\n- {\n"])
def test_a_file_that_is_none_of_presets_is_left_alone(text: str) -> None:
    with pytest.raises(CliError):
        add_entry(text, NEW, "")
