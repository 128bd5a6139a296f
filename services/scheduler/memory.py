"""What a model takes on each GPU before it runs there, in the parts that the engine reports. Pure.

Of `utilization` x total memory the engine takes the weights, the peak of a step and what CUDA needs; the rest is
cache. CUDA graphs come on top where the second model runner serves the model, and out of the cache where the first
one does. Each part has a module of its own, which says where it comes from.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from services.scheduler.frozen import Facts
from services.scheduler.memory_activation import activation_bytes, encoder_bytes
from services.scheduler.memory_cache import Layout, layout
from services.scheduler.memory_context import non_torch_bytes
from services.scheduler.memory_graphs import graphs_bytes, reserved_bytes
from services.scheduler.memory_lora import adapter_bytes
from services.scheduler.memory_settings import EngineLimits, new_runner
from services.scheduler.memory_weights import stored_bytes, weights_bytes
from services.scheduler.shapes import Shapes
from services.scheduler.split import Split

GIB = 2**30
MARGIN_BYTES = 150 << 20
"""Not promised, for what no formula knows."""
LONG = 8192
"""Beyond this length of a request no part depends on it."""


class GpuMemory(Facts):
    """The memory of the fullest GPU of a replica in GiB, and what its cache holds.

    `kv_cache_gib` is below zero where not even the weights fit. `kv_tokens` are those of requests of `max_model_len`
    tokens, the longest that fits unless one was asked for; both are 0 where none fits.
    """

    weights_gib: float
    activation_gib: float
    non_torch_gib: float
    graphs_gib: float
    kv_cache_gib: float
    kv_bytes_per_token: int
    kv_tokens: int
    max_model_len: int


class Parts(NamedTuple):
    """What one GPU holds beside the cache, in bytes, whatever the GPU's size. `cut` is how the cache is cut.

    `inside` are graphs that the engine takes off its cache; `outside` is what comes on top of the share of the memory
    that it may use.
    """

    weights: float
    activation: int
    non_torch: int
    graphs: int
    inside: int
    outside: int
    cut: Layout

    def cache_bytes(self, total_gib: float, utilization: float) -> float:
        """What is left for the cache of a GPU of that size; below zero where nothing is.

        What comes on top of the engine's share and finds no room there is taken off.
        """
        spare = (1 - utilization) * total_gib * GIB
        taken = self.weights + self.activation + self.non_torch + self.inside + max(0.0, self.outside - spare)
        return utilization * total_gib * GIB - taken - MARGIN_BYTES


def parts_of(
    shapes: Shapes, split: Split, limits: EngineLimits, length: int, checkpoint_gib: float | None = None
) -> Parts:
    """The parts for requests of up to `length` tokens.

    `checkpoint_gib` are the weights as they are stored, where that is known; else they are reckoned from the shapes.
    """
    return _parts(shapes, split, limits, min(length, LONG) if shapes.latent else 0, checkpoint_gib)


@lru_cache(maxsize=4096)
def _parts(shapes: Shapes, split: Split, limits: EngineLimits, length: int, checkpoint_gib: float | None) -> Parts:
    weights: float = weights_bytes(shapes, split)
    if checkpoint_gib is not None:
        weights *= checkpoint_gib * GIB / stored_bytes(shapes)
    graphs = graphs_bytes(shapes, split, limits)
    return Parts(
        weights=weights + adapter_bytes(shapes, split, limits),
        activation=activation_bytes(shapes, split, limits, length),
        non_torch=non_torch_bytes(shapes, split),
        graphs=graphs,
        inside=0 if new_runner(shapes) else reserved_bytes(shapes, split, limits),
        outside=_outside(shapes, limits, graphs),
        cut=layout(shapes, split, limits.cache_dtype, limits.batched),
    )


def _outside(shapes: Shapes, limits: EngineLimits, graphs: int) -> int:
    """With the second runner the graphs, counters of used tokens in 32 bits, a row a request, and pictures."""
    if not new_runner(shapes):
        return 0
    return graphs + limits.sequences * shapes.vocab * 4 + encoder_bytes(shapes)[0]


def on_each_gpu(
    shapes: Shapes,
    split: Split,
    total_gib: float,
    limits: EngineLimits,
    length: int | None = None,
    checkpoint_gib: float | None = None,
) -> GpuMemory:
    """The memory of the fullest GPU; `total_gib` is what the driver reports, `length` None as long as fits."""
    parts = parts_of(shapes, split, limits, length or shapes.context, checkpoint_gib)
    cache = parts.cache_bytes(total_gib, limits.utilization)
    served = length or parts.cut.longest(cache, shapes.context)
    return GpuMemory(
        weights_gib=parts.weights / GIB,
        activation_gib=parts.activation / GIB,
        non_torch_gib=parts.non_torch / GIB,
        graphs_gib=parts.graphs / GIB,
        kv_cache_gib=cache / GIB,
        kv_bytes_per_token=parts.cut.bytes_per_token(served or shapes.context),
        kv_tokens=parts.cut.tokens(cache, served) if served else 0,
        max_model_len=served,
    )
