"""Aliases of YAML make little text into much: what is read is as long as it says, with aliases written out."""

from __future__ import annotations

import pytest
import yaml

from services.contracts.workspace import CONFIG_KEY_INFERENCE
from services.scheduler.engine_config import (
    LONGEST_TEXT,
    MOST_WRITTEN_OUT,
    BadConfig,
    read_config,
    read_yaml,
    written_out,
)


def read(text: str) -> dict[str, str]:
    return read_config({CONFIG_KEY_INFERENCE: text}).flags


def test_an_alias_is_read() -> None:
    assert read("vllm:\n  a: &a text\n  b: *a\n") == {"a": "text", "b": "text"}


def test_values_of_one_map_may_be_taken_over_into_another() -> None:
    assert read("common: &c {seed: 1}\nvllm:\n  <<: *c\n  b: x\n") == {"seed": "1", "b": "x"}


def test_a_long_text_many_times_over_is_refused() -> None:
    text = f'vllm:\n  a: &a "{"x" * 1000}"\n' + "".join(f"  k{number}: *a\n" for number in range(100))
    assert len(text) < LONGEST_TEXT
    with pytest.raises(BadConfig, match=f"more than {MOST_WRITTEN_OUT} characters with its aliases written out"):
        read(text)


def test_aliases_of_aliases_are_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 200))]
    with pytest.raises(BadConfig, match="aliases written out"):
        read_yaml("training_config.yaml", "\n".join(lines))


def test_one_that_holds_itself_is_refused() -> None:
    with pytest.raises(BadConfig, match="aliases written out"):
        read_yaml("training_config.yaml", "a: &a [*a]")


@pytest.mark.parametrize("item", ["{a,b,c},", "x,", "[],", "'',"])
def test_without_aliases_nothing_counts_more_than_is_allowed(item: str) -> None:
    text = f"a: [{item * (1000 // len(item))}]"
    counted = written_out(yaml.compose(text, Loader=yaml.CSafeLoader), {})
    assert len(text) / 4 < counted <= len(text) * MOST_WRITTEN_OUT / LONGEST_TEXT
