"""What is read of a worker of the engine, as releases 0.26 to 0.33 keep it, and what its log tells."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from services.inference.measured import GIB, WorkerMemory, graphs_gib, worker_memory


def worker(**figures: object) -> SimpleNamespace:
    runner = SimpleNamespace(model_memory_usage=15 * GIB)
    return SimpleNamespace(model_runner=runner, peak_activation_memory=2 * GIB,
                           available_kv_cache_memory_bytes=5.5 * GIB, **figures)  # fmt: skip


@pytest.mark.parametrize(
    "figures",
    [{"non_torch_memory": GIB // 4}, {"total_consumed": 15 * GIB + GIB // 4}],
    ids=["as 0.26 keeps it", "as 0.32 does"],
)
def test_all_parts_of_a_gpu(figures: dict[str, object]) -> None:
    assert worker_memory(worker(**figures), 0.59) == {
        "weights_gib": 15, "activation_gib": 2, "non_torch_gib": 0.25, "graphs_gib": 0.59, "kv_cache_gib": 5.5,
    }  # fmt: skip


def test_without_a_gpu_only_the_cache_is_known() -> None:
    cpu = SimpleNamespace(model_runner=SimpleNamespace(), cache_config=SimpleNamespace(kv_cache_memory_bytes=GIB))
    found = worker_memory(cpu, None)
    assert found.pop("kv_cache_gib") == 1
    assert set(found.values()) == {None}


def test_a_worker_that_keeps_nothing_tells_nothing() -> None:
    assert set(worker_memory(object(), None).values()) == {None}


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["Graph capturing finished in 3 secs, took 0.59 GiB"], 0.59),
        (
            ["Graph capturing finished in 3 secs, took 0.10 GiB", "Graph capturing finished in 12 secs, took 1.25 GiB"],
            1.25,
        ),
        (["Graph capturing finished in 3 secs, took -0.02 GiB"], 0.0),
        (["Graph capturing finished in 3 secs"], None),
        ([], None),
    ],
)
def test_what_graphs_took(lines: list[str], found: float | None) -> None:
    assert graphs_gib(lines) == found


def test_the_log_is_heard_in_the_worker() -> None:
    logging.getLogger("vllm.v1.worker.gpu_model_runner").warning(
        "Graph capturing finished in %.0f secs, took %.2f GiB", 3.0, 0.75
    )
    assert WorkerMemory().kaitobus_memory()["graphs_gib"] == 0.75
