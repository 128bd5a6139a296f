"""The memory that `kaitobus plan` tells: the row of the table and the sentence below it say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.main import app

EXAMPLES = Path(__file__).parents[2] / "examples"
PARTS = ("weights", "work", "graphs", "cache")


def told(example: str, *options: str) -> str:
    return CliRunner().invoke(app, ["plan", "-f", str(EXAMPLES / example), *options]).stdout


def row_and_sentence(text: str) -> tuple[dict[str, str], dict[str, str]]:
    titles, chosen = re.search(r"\n +(SIZE .*)\n", text), re.search(r"\n\*  (.*)\n", text)
    sentence = re.search(r"Memory[^:]*: (.*) of [\d.]+ GiB\.", text)
    assert titles
    assert chosen
    assert sentence
    row = dict(zip(re.split(r" {2,}", titles[1].strip()), re.split(r" {2,}", chosen[1].strip()), strict=True))
    return {part: row[part.upper()] for part in PARTS}, dict(part.split(" ") for part in sentence[1].split(", "))


def test_the_sentence_says_what_the_row_says_and_it_adds_up() -> None:
    text = told("03-llama-by-price.yaml", "--cloud", "azure")
    row, sentence = row_and_sentence(text)
    assert sentence == row
    total = re.search(r"of ([\d.]+) GiB\.\n", text)
    assert total
    may_use = 0.9 * float(total[1])
    assert sum(map(float, sentence.values())) == pytest.approx(may_use + float(sentence["graphs"]), abs=0.2)


def test_without_a_gpu_it_is_not_told_of_one(tmp_path: Path) -> None:
    offers = tmp_path / "offers.json"
    offers.write_text('{"provider": "local", "offers": [{"instanceType": "local-64gi", "memoryGib": 64}]}')
    text = told("01-smollm2.yaml", "--offers", str(offers))
    assert "Memory: weights" in text
