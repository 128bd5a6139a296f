"""CUDA graphs: recordings of small steps, which hold memory for as long as the engine runs. Pure.

Each size of a step is recorded twice: whole, up to as many tokens as requests run at once, and in parts around the
attention, up to twice as many. All recordings share one pool; what each adds is a little a layer.
"""

from __future__ import annotations

from services.scheduler.memory_settings import EngineLimits
from services.scheduler.shapes import Mixer, Shapes
from services.scheduler.split import Split, stage

MIB = 1 << 20
MOST_TOKENS = 512
"""No larger step is recorded,"""
MOST_TOKENS_OF = {"GptOssForCausalLM": 1024}
"""but for these architectures."""
WORKSPACE = 96 * MIB
"""The matrix kernels' workspaces, taken once more for the stream that records."""
LAYER_BYTES = 158_000
"""What one layer of one recording takes. Measured on dense models and mixtures with 8 to 42 layers: 0.10 to 0.24 MB."""
SPLITS = 32
"""Parts into which the attention of few requests is split over the GPU."""
COARSE_PART, COARSE_WHOLE = 0.16 * MIB, 0.05 * MIB
"""What the engine's own estimate finds for a layer of a recording in parts, and of a whole one,"""
COARSE_LEAST = MIB
"""but never less than this for a recording."""


FINE_UP_TO = 32
"""In mode interactivity all sizes up to this are recorded (vLLM's `config/vllm.py`)."""


def recorded_sizes(most: int, *, fine: bool = False) -> int:
    """How many sizes are recorded up to one: 1, 2, 4, then every 8th up to 256 and every 16th beyond."""
    small = sum(size <= most for size in (1, 2, 4))
    if fine:
        small = sum(size % 8 != 0 for size in range(1, min(most, FINE_UP_TO) + 1))
    return small + len(range(8, min(most + 1, 256), 8)) + len(range(256, most + 1, 16))


def graphs_bytes(shapes: Shapes, split: Split, limits: EngineLimits) -> int:
    """Bytes of all graphs on one GPU."""
    if limits.eager:
        return 0
    whole, parts = _recordings(shapes, limits)
    sizes = sum(recorded_sizes(most, fine=limits.fine_graphs) for most in (whole, parts))
    recorded = LAYER_BYTES * len(stage(shapes.layers, split.pipeline)) * sizes
    return WORKSPACE + recorded + _split_bytes(shapes, split, whole)


def reserved_bytes(shapes: Shapes, split: Split, limits: EngineLimits) -> int:
    """What the first model runner estimates for its graphs, and takes off the cache.

    It records the two largest sizes of each kind on trial: the first shows what all share, the second what each adds.
    """
    if limits.eager:
        return 0
    whole, parts = _recordings(shapes, limits)
    layers = len(stage(shapes.layers, split.pipeline))
    shared = max(WORKSPACE + 4 * MIB, _split_bytes(shapes, split, whole) + 2 * MIB)
    each_part, each_whole = max(COARSE_LEAST, layers * COARSE_PART), max(COARSE_LEAST, layers * COARSE_WHOLE)
    sizes_parts, sizes_whole = (recorded_sizes(most, fine=limits.fine_graphs) for most in (parts, whole))
    return int(shared + (sizes_parts - 1) * each_part + (sizes_whole - 1) * each_whole)


def _recordings(shapes: Shapes, limits: EngineLimits) -> tuple[int, int]:
    """Tokens of the largest recording of each kind: whole, and in parts."""
    parts = min(2 * limits.sequences, MOST_TOKENS_OF.get(shapes.architecture, MOST_TOKENS), limits.batched)
    return min(limits.sequences, parts), parts


def _split_bytes(shapes: Shapes, split: Split, tokens: int) -> int:
    """Attention of few requests is split over the GPU, and its parts are added up in 32 bits afterwards.

    Models that mix windows are not split so.
    """
    heads = shapes.attention
    if heads is None or (Mixer.WINDOW in shapes.mixers and Mixer.FULL in shapes.mixers):
        return 0
    width = shapes.latent.kv_rank if shapes.latent and not shapes.latent.expanded else heads.value_dim
    return SPLITS * tokens * heads.heads // split.tensor * width * 4
