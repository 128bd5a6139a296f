"""What fine-tuning with LoRA takes of one GPU, or of a machine without one. Pure.

Each GPU holds the whole model and its own part of the batch. Four parts, in bytes:

1. Weights, frozen: each at the method's width, 16 or 32 bits for LoRA; for QLoRA 4 bits and their scales (Dettmers
   et al., "QLoRA", arXiv 2305.14314, section 3), but for embeddings, output and experts, which bitsandbytes leaves as
   they are. What is computed in 16 bits from weights of 32 keeps a copy of each matrix in 16.
2. The adapter: r * (in + out) parameters a matrix (Hu et al., "LoRA", arXiv 2106.09685, section 4.1), in 32 bits at
   most, each with its gradient, which GPUs side by side keep once more to add it up, and with what the optimizer keeps
   of it: two numbers of 32 or of 8 bits for Adam.
3. What is kept for the way back (`tuning_activations.py`).
4. What is there before: the context of CUDA and its libraries, or Python with PyTorch; for QLoRA the largest matrix,
   unpacked to be multiplied; and where GPUs train side by side, what NCCL takes, and on the first GPU a context of each
   of the others, which was seen when a run went on from a checkpoint.

docs/tuning.md has what was measured beside what is planned.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from services.contracts.tuning import TuningMemory
from services.scheduler.memory import GIB
from services.scheduler.memory_weights import ABSORBED, ROTARY, Tensor, tensors
from services.scheduler.shapes import Shapes
from services.scheduler.split import Split
from services.scheduler.tuning_activations import Training, activations

GPU_OVERHEAD_GIB: Final = 1.2
"""Context, libraries, and workspaces of the matrix kernels."""
NCCL_GIB: Final = 0.9
"""Of two processes 0.82 was measured; more were not."""
CONTEXT_GIB: Final = 0.52
"""A further process's context on a GPU."""
CPU_OVERHEAD_GIB: Final = 1.3
"""The process that trains, with PyTorch and the data's pages, and the one that answers for it."""
FULL_WIDTH: Final = frozenset(
    {"embedding", "positions", "embeddings of layers", "router", "tower", "experts, in", "experts, out"}
)
"""Tensors that bitsandbytes leaves as they are: it replaces linear layers, and transformers 5 has experts in one."""
_PARAMETER, _GRADIENT = 4, 4
_STATES: Final = {"adafactor": 0.5, "sgd": 0.0, "adamw_8bit": 2.0, "paged_adamw_8bit": 2.0}
"""Bytes that the optimizer keeps for each parameter; Adam in 32 bits has 8."""
_ADAM: Final = 8.0


def tuning_memory(
    shapes: Shapes, training: Training, *, element_bytes: int, gpus: int, total_gib: float, weights_gib: float = 0
) -> TuningMemory:
    """The parts in GiB of each of so many GPUs, or of a machine with none.

    `element_bytes` is the width of what is computed in, `total_gib` what is there; `weights_gib` what the weights are
    in 16 bits where the shapes do not say it, since some are guessed.
    """
    overhead = _overhead_gib(gpus) * GIB + _unpacked(shapes, training)
    held = activations(shapes, training, element_bytes, on_gpu=gpus > 0)
    return TuningMemory(
        weights_gib=round(_weights(shapes, training, element_bytes, weights_gib) / GIB, 3),
        adapter_gib=round(adapter_parameters(shapes, training) * _bytes_each(training, gpus) / GIB, 3),
        activation_gib=round(held / GIB, 3),
        overhead_gib=round(overhead / GIB, 3),
        total_gib=total_gib,
    )


def needed_gib(memory: TuningMemory) -> float:
    """All parts together."""
    return memory.weights_gib + memory.adapter_gib + memory.activation_gib + memory.overhead_gib


def adapter_parameters(shapes: Shapes, training: Training) -> int:
    """Parameters of the adapter. Of a matrix of m elements, in + out is at most m / hidden + hidden where it is one
    of the layer's, whose one side is the hidden width.
    """
    sides = sum(t.copies * (t.elements // shapes.hidden + shapes.hidden) for t in _adapted(shapes, training))
    return training.rank * sides


def _bytes_each(training: Training, gpus: int) -> float:
    return _PARAMETER + _GRADIENT * (2 if gpus > 1 else 1) + _STATES.get(training.optimizer, _ADAM)


def _overhead_gib(gpus: int) -> float:
    if not gpus:
        return CPU_OVERHEAD_GIB
    return GPU_OVERHEAD_GIB + (NCCL_GIB + CONTEXT_GIB * (gpus - 1) if gpus > 1 else 0)


def _matrices(shapes: Shapes) -> Iterator[Tensor]:
    """The tensors of a checkpoint."""
    return (tensor for tensor in tensors(shapes, Split()) if tensor.name not in (ROTARY, ABSORBED))


def _adapted(shapes: Shapes, training: Training) -> Iterator[Tensor]:
    """Those with an adapter: queries, keys and values alone count as the two that are adapted by default."""
    for tensor in _matrices(shapes):
        if tensor.name not in FULL_WIDTH and (training.everywhere or tensor.name.startswith("queries")):
            yield tensor


def _weights(shapes: Shapes, training: Training, element_bytes: int, known_gib: float) -> float:
    small = training.bits if training.bits < 16 else 8 * element_bytes
    small += 16 if training.copied else 0
    widths = ((t, 8 * element_bytes if t.name in FULL_WIDTH else small) for t in _matrices(shapes))
    counted = sum(tensor.elements * tensor.copies * bits / 8 for tensor, bits in widths)
    if not known_gib:
        return counted
    return counted * known_gib * GIB / sum(2 * tensor.elements * tensor.copies for tensor in _matrices(shapes))


def _unpacked(shapes: Shapes, training: Training) -> float:
    """QLoRA's largest matrix in 16 bits."""
    if training.bits >= 16:
        return 0
    return 2.0 * max(tensor.elements for tensor in _matrices(shapes) if tensor.name not in FULL_WIDTH)
