"""Slots for LoRA adapters, which the engine sets aside when it loads the model. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from services.scheduler.memory_settings import EngineLimits
from services.scheduler.shapes import Shapes
from services.scheduler.split import Split, stage


def adapter_bytes(shapes: Shapes, split: Split, limits: EngineLimits) -> int:
    """Bytes of all slots on the fullest GPU: for each projection two matrices of the largest rank, in 16 bits."""
    if not limits.adapters:
        return 0
    return 2 * limits.adapters * limits.adapter_rank * sum(_widths(shapes, split))


def _widths(shapes: Shapes, split: Split) -> Iterator[int]:
    """The widths into and out of every projection that can have an adapter; those in are not cut."""
    layers = len(stage(shapes.layers, split.pipeline))
    hidden, tensor = shapes.hidden, split.tensor
    if shapes.attention:
        heads = shapes.attention
        queries, keys = heads.heads * heads.head_dim, heads.kv_heads * heads.head_dim
        yield layers * (3 * hidden + (queries + 2 * keys) // tensor)
        yield layers * (queries // tensor + hidden)
    if not shapes.mixture:
        yield layers * (2 * hidden + 3 * shapes.intermediate // tensor + hidden)
    elif shapes.experts:
        experts = shapes.experts
        yield layers * experts.count * (3 * hidden + 3 * experts.width // tensor)
    yield 2 * (shapes.vocab + hidden)
