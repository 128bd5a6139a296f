"""The ways in which a model can be cut over GPUs, as the engine allows them and as they make sense. Pure.

Tensor parallel cuts every layer, which needs talk between the GPUs at each: within a node only, and over PCIe among
two at most. Pipeline parallel deals out the layers, which needs little talk. Experts are dealt out whole where they
are many, or too narrow to be cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

from services.scheduler.shapes import Feed, Shapes
from services.scheduler.split import Split

Interconnect = Literal["nvlink", "pcie"]
PCIE_TENSOR = 2
"""GPUs that share each layer where they are not joined by NVLink."""
MANY_EXPERTS = 64
"""From so many experts on each GPU gets whole ones: a slice of each would be too narrow to compute fast."""
SCALE_BLOCK = {"fp8": 128, "awq": 128, "gptq": 128, "mxfp4": 32}
"""Quantised weights can be cut only between groups that share a scale."""


@lru_cache(maxsize=4096)
def splits(shapes: Shapes, gpus: int, nodes: int, interconnect: Interconnect | None = None) -> tuple[Split, ...]:
    """The splits worth trying on that many nodes of that many GPUs, fewest GPUs first.

    On one node every power of two; over several nodes as many GPUs of each as a power of two allows, since fewer
    would only need more nodes.
    """
    counts = powers_of_two(gpus) if nodes == 1 else powers_of_two(gpus)[-1:]
    return tuple(_splits(shapes, counts, nodes, PCIE_TENSOR if interconnect == "pcie" else gpus))


def _splits(shapes: Shapes, counts: list[int], nodes: int, most: int) -> Iterator[Split]:
    for count in counts:
        tensor = max(size for size in powers_of_two(min(count, most)) if divides(shapes, size))
        pipeline = count // tensor * nodes
        if pipeline <= shapes.layers:
            yield Split(tensor, pipeline, count, nodes, expert_parallel=deals_out_experts(shapes, tensor))


def divides(shapes: Shapes, tensor: int) -> bool:
    """Whether the engine can cut the model into that many parts."""
    return obstacle(shapes, tensor) is None


def obstacle(shapes: Shapes, tensor: int) -> str | None:
    """What keeps the engine from cutting each layer into that many parts, in words; None where nothing does.

    Query heads must divide evenly. Key-value heads must too, or, where they are fewer, each be copied equally often.
    So must the heads of states, and the widths of MLPs and of experts that are not dealt out whole.
    """
    if tensor == 1:
        return None
    heads = shapes.attention
    if heads and heads.heads % tensor:
        return f"its {heads.heads} query heads"
    if heads and (not shapes.latent or shapes.latent.expanded) and heads.kv_heads % tensor and tensor % heads.kv_heads:
        return f"its {heads.kv_heads} key-value heads"
    if shapes.state and (shapes.state.heads % tensor or shapes.state.conv_width % tensor):
        return f"the {shapes.state.heads} heads of its states"
    if Feed.DENSE in shapes.feeds and not _cuts(shapes, shapes.intermediate, tensor):
        return f"its MLP of width {shapes.intermediate}"
    if shapes.experts and shapes.experts.shared_width % tensor:
        return f"its shared expert of width {shapes.experts.shared_width}"
    if shapes.experts and not deals_out_experts(shapes, tensor) and shapes.experts.width % tensor:
        return f"its experts of width {shapes.experts.width}"
    return None


def deals_out_experts(shapes: Shapes, tensor: int) -> bool:
    """Whether each GPU gets whole experts."""
    experts = shapes.experts
    if experts is None or tensor == 1 or experts.count % tensor:
        return False
    return experts.count >= MANY_EXPERTS or not _cuts(shapes, experts.width, tensor)


def _cuts(shapes: Shapes, width: int, tensor: int) -> bool:
    """Whether a width can be cut, and between groups of weights that share a scale."""
    block = SCALE_BLOCK.get(shapes.quantization.method, 1) if shapes.quantization else 1
    return width % tensor == 0 and (width % block != 0 or width // tensor % block == 0)


def powers_of_two(most: int) -> list[int]:
    """1, 2, 4, ... up to `most`."""
    return [2**exponent for exponent in range(most.bit_length())]
