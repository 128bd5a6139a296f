"""What a model takes on each GPU before it runs there, in the parts that the engine reports. Pure.

Of `utilization` x total memory the engine takes the weights, the peak of a step and what CUDA needs; the rest is
cache. CUDA graphs come on top where the second model runner serves the model, and out of the cache where the first
one does. Each part has a module of its own, which says where it comes from.
"""

from __future__ import annotations

from services.scheduler.frozen import Facts
from services.scheduler.memory_activation import activation_bytes
from services.scheduler.memory_cache import Layout, layout
from services.scheduler.memory_context import non_torch_bytes
from services.scheduler.memory_graphs import graphs_bytes
from services.scheduler.memory_lora import adapter_bytes
from services.scheduler.memory_settings import EngineLimits, new_runner
from services.scheduler.memory_weights import stored_bytes, weights_bytes
from services.scheduler.shapes import Shapes
from services.scheduler.split import Split

GIB = 2**30
MARGIN = 0.003
"""Part of the GPU's memory that is not promised, for what no formula knows."""


class GpuMemory(Facts):
    """The memory of the fullest GPU of a replica in GiB, and what its cache holds.

    `kv_cache_gib` is below zero where not even the weights fit. `kv_tokens` are those of requests of `max_model_len`
    tokens, the longest that fits unless one was asked for; 0 where none fits.
    """

    weights_gib: float
    activation_gib: float
    non_torch_gib: float
    graphs_gib: float
    kv_cache_gib: float
    kv_bytes_per_token: int
    kv_tokens: int
    max_model_len: int
    concurrency: float
    """Requests of `max_model_len` tokens that the cache holds at once."""


def on_each_gpu(
    shapes: Shapes, split: Split, total_gib: float, limits: EngineLimits, checkpoint_gib: float | None = None
) -> GpuMemory:
    """The memory of the fullest GPU; `total_gib` is what the driver reports.

    `checkpoint_gib` are the weights as they are stored, where that is known; else they are reckoned from the shapes.
    """
    asked = limits.max_model_len or shapes.context
    weights = _weights(shapes, split, checkpoint_gib) + adapter_bytes(shapes, split, limits)
    activation = activation_bytes(shapes, split, limits, asked)
    non_torch, graphs = non_torch_bytes(split), graphs_bytes(shapes, split, limits)
    spare = (1 - limits.utilization) * total_gib * GIB
    outside = max(0.0, graphs + _uncounted(shapes, limits) - spare) if new_runner(shapes) else graphs
    cache = (limits.utilization - MARGIN) * total_gib * GIB - weights - activation - non_torch - outside
    return _memory(
        weights,
        activation,
        non_torch,
        graphs,
        cache,
        layout(shapes, split, limits.cache_dtype, limits.batched),
        limits,
        asked,
    )


def _memory(
    weights: float,
    activation: float,
    non_torch: float,
    graphs: float,
    cache: float,
    cut: Layout,
    limits: EngineLimits,
    asked: int,
) -> GpuMemory:
    length = limits.max_model_len or cut.longest(cache, asked)
    tokens = cut.tokens(cache, length) if length else 0
    return GpuMemory(
        weights_gib=weights / GIB,
        activation_gib=activation / GIB,
        non_torch_gib=non_torch / GIB,
        graphs_gib=graphs / GIB,
        kv_cache_gib=cache / GIB,
        kv_bytes_per_token=cut.bytes_per_token(length or asked),
        kv_tokens=tokens,
        max_model_len=length,
        concurrency=tokens / length if length else 0.0,
    )


def _weights(shapes: Shapes, split: Split, checkpoint_gib: float | None) -> float:
    """The weights as they are cut by shape, scaled to those that are stored."""
    own = weights_bytes(shapes, split)
    return own if checkpoint_gib is None else own * checkpoint_gib * GIB / stored_bytes(shapes)


def _uncounted(shapes: Shapes, limits: EngineLimits) -> int:
    """Counters of used tokens, a row a request: the second runner takes them beside all that it reports."""
    return limits.sequences * shapes.vocab * 4
