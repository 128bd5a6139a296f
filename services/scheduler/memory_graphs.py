"""CUDA graphs: recordings of small steps, which hold memory for as long as the engine runs. Pure."""

from __future__ import annotations

from services.scheduler.memory_settings import EngineLimits
from services.scheduler.shapes import Shapes
from services.scheduler.split import Split, stage

MOST_TOKENS = 512
"""No larger step is recorded."""


def recorded_sizes(most: int) -> int:
    """How many sizes are recorded up to one: 1, 2, 4, then every 8th up to 256 and every 16th beyond."""
    small = sum(size <= most for size in (1, 2, 4))
    return small + len(range(8, min(most + 1, 256), 8)) + len(range(256, most + 1, 16))


def graphs_bytes(shapes: Shapes, split: Split, limits: EngineLimits) -> int:
    """Bytes of all graphs on one GPU."""
    if limits.eager:
        return 0
    most = min(2 * limits.sequences, MOST_TOKENS, limits.batched)
    whole, parts = recorded_sizes(min(limits.sequences, most)), recorded_sizes(most)
    layers = len(stage(shapes.layers, split.pipeline))
    return int(BASE_BYTES + layers * (whole * WHOLE_BYTES + parts * PART_BYTES) + _split_bytes(shapes, split, most))


BASE_BYTES = 64 << 20
WHOLE_BYTES = 200_000
PART_BYTES = 40_000


def _split_bytes(shapes: Shapes, split: Split, most: int) -> int:
    """Attention of few requests is split over the GPU, and its parts are added up in 32 bits afterwards."""
    heads = shapes.attention
    if heads is None:
        return 0
    return 32 * most * heads.heads // split.tensor * heads.value_dim * 4
