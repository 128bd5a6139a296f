"""Which cuts are legal, and which of them are tried."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.scheduler.config_json import read_config_json
from services.scheduler.parallelism import deals_out_experts, divides, obstacle, splits
from services.scheduler.shapes import Shapes


def shapes(name: str) -> Shapes:
    found = read_config_json(json.loads(Path(f"tests/data/configs/{name}.json").read_text()))
    assert isinstance(found, Shapes), found
    return found


@pytest.mark.parametrize(
    ("name", "tensor", "why"),
    [
        ("qwen2.5-7b", 8, "its 28 query heads"),
        ("phi-4", 4, "its 10 key-value heads"),
        ("gpt-oss-20b", 16, None),
        ("llama-3.1-8b", 16, None),
        ("falcon-7b", 2, "its 71 query heads"),
        ("qwen3-next-l12", 4, None),
        ("falcon-h1-1.5b", 16, "its 8 query heads"),
        ("granite-4.0-h-tiny", 8, "its 12 query heads"),
    ],
)
def test_what_the_engine_cannot_cut(name: str, tensor: int, why: str | None) -> None:
    assert obstacle(shapes(name), tensor) == why


def test_quantised_weights_are_cut_between_groups_that_share_a_scale() -> None:
    model = shapes("qwen2.5-7b-awq")  # 18944 = 148 x 128: halves and quarters are groups, eighths are not
    assert divides(model, 4)
    narrow = model.model_copy(update={"intermediate": 128 * 6})
    assert obstacle(narrow, 4) == "its MLP of width 768"


def test_many_experts_are_dealt_out_whole_and_few_are_sliced() -> None:
    assert deals_out_experts(shapes("qwen3-30b-a3b-l12"), 4)
    assert not deals_out_experts(shapes("qwen3-30b-a3b-l12"), 1)
    assert not deals_out_experts(shapes("mixtral-8x7b-l8"), 4)


def test_over_nvlink_a_node_shares_every_layer_and_over_pcie_only_pairs_do() -> None:
    model = shapes("llama-3.1-8b")
    joined = [(split.tensor, split.pipeline) for split in splits(model, 8, 1, "nvlink")]
    assert joined == [(1, 1), (2, 1), (4, 1), (8, 1)]
    apart = [(split.tensor, split.pipeline) for split in splits(model, 8, 1, "pcie")]
    assert apart == [(1, 1), (2, 1), (2, 2), (2, 4)]


def test_over_several_nodes_layers_are_dealt_out() -> None:
    (only,) = splits(shapes("llama-3.1-8b"), 8, 3, "nvlink")
    assert (only.tensor, only.pipeline, only.nodes) == (8, 3, 3)


def test_no_stage_is_without_a_layer() -> None:
    assert splits(shapes("mixtral-8x7b-l8"), 1, 9) == ()
