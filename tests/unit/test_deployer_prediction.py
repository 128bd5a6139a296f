"""What the engine measured, beside what was planned."""

from __future__ import annotations

import pytest

from services.contracts.plan import Prediction
from services.deployer.prediction import EngineMemory, Part, compare, performance

PLANNED = Prediction(weights_gib=15.2, activation_gib=1.2, kv_cache_gib=5.0, kv_tokens=41_000, total_gib=140)
MEASURED = EngineMemory(
    weights_gib=15.0, activation_gib=1.01, non_torch_gib=0.22, graphs_gib=0.59, kv_cache_gib=5.29, kv_tokens=43_328
)


def test_each_part_stands_beside_its_prediction_with_the_error() -> None:
    found = performance(MEASURED, PLANNED)
    assert found is not None
    tokens = found.metrics["kvCacheTokens"]
    assert (tokens.value, tokens.unit) == ("43328", "tokens")
    assert tokens.config == {"planned": "41000", "error": "-5.4%"}
    assert found.metrics["weightsMemory"].config == {"planned": "15.20", "error": "+1.3%"}
    assert set(found.metrics) == set(Part)


def test_what_was_not_measured_is_left_out() -> None:
    found = performance(EngineMemory(weights_gib=0.5, kv_cache_gib=1, kv_tokens=23_296), PLANNED)
    assert found is not None
    assert set(found.metrics) == {"weightsMemory", "kvCacheMemory", "kvCacheTokens"}


def test_what_was_not_planned_stands_alone() -> None:
    found = performance(MEASURED, None)
    assert found is not None
    assert found.metrics["weightsMemory"].config is None
    assert found.metrics["weightsMemory"].value == "15.00"


def test_an_engine_that_measured_nothing_has_no_figures() -> None:
    assert performance(EngineMemory(), PLANNED) is None


@pytest.mark.parametrize("measured", [0.0, None])
def test_nothing_is_divided_by_nothing(measured: float | None) -> None:
    assert all(part.error is None for part in compare(EngineMemory(graphs_gib=measured), PLANNED))
