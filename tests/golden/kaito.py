"""KAITO 0.12's node counts and the formula behind them, for comparison. Facts of `tests/data/kaito-nodes.csv`.

It reckons with 0.84 of a GPU's nominal memory, 1.02 times the weights in files and 5 % of them for what grows with
them, 2.3 GiB for everything else, and a cache for 2048 tokens, dealt out over the GPUs of one node. The number of GPUs
is rounded down and one is added; how the model can be cut is not looked at, nor is there a limit.
"""

from __future__ import annotations

import csv
from math import ceil, floor
from pathlib import Path
from typing import NamedTuple

from services.provisioner.skus import Sku

DATA = Path(__file__).parents[1] / "data"
GIB = 2**30
CONTEXT, UTILIZATION, LOADED, OVERHEAD, RESERVE_GIB = 2048, 0.84, 1.02, 1.05, 2.3


class KaitoModel(NamedTuple):
    """What KAITO knows of a model, and the nodes that it would take, by size."""

    weights_gib: float
    kv_bytes_per_token: int
    nodes: dict[str, int]


class Reckoning(NamedTuple):
    """How KAITO comes to its number."""

    loaded_gib: float
    room_gib: float
    """For weights, on each GPU."""
    gpus: int
    nodes: int


def read_kaito() -> dict[str, KaitoModel]:
    """By the model's id."""
    with (DATA / "kaito-nodes.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    facts = ("model", "weights_gib", "kv_bytes_per_token")
    return {
        row["model"]: KaitoModel(
            float(row["weights_gib"]),
            int(row["kv_bytes_per_token"]),
            {size: int(nodes) for size, nodes in row.items() if size not in facts},
        )
        for row in rows
    }


def reckon(model: KaitoModel, sku: Sku) -> Reckoning:
    """KAITO's own steps."""
    usable = UTILIZATION * floor(sku.gpu_memory_gib)
    cache = CONTEXT * model.kv_bytes_per_token / sku.gpus / GIB
    loaded, room = LOADED * model.weights_gib, (usable - RESERVE_GIB - cache) / OVERHEAD
    gpus = floor(loaded / room) + 1
    return Reckoning(loaded, room, gpus, ceil(gpus / sku.gpus))
