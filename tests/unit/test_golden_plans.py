"""All models planned on all machines, as the golden file has it; regenerate it by `python -m tests.golden`."""

from __future__ import annotations

from services.provisioner.skus import load_skus
from tests.golden.kaito import read_kaito, reckon
from tests.golden.page import GOLDEN, page
from tests.golden.plans import differences


def test_the_golden_file_is_what_would_be_planned_now() -> None:
    assert GOLDEN.read_text("utf-8") == page(), "plans have changed: run `python -m tests.golden` and look at the diff"


def test_kaitos_formula_gives_kaitos_numbers() -> None:
    skus = {sku.name: sku for sku in load_skus().values()}
    for name, model in read_kaito().items():
        for size, nodes in model.nodes.items():
            assert reckon(model, skus[size]).nodes == nodes, (name, size)


def test_every_difference_from_kaito_is_explained_by_a_sentence_with_numbers() -> None:
    for found in differences():
        assert found.because.endswith("."), found
        assert any(char.isdigit() for char in found.because), found
