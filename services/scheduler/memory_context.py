"""What is taken of a GPU outside of the tensors: CUDA itself, and talking to other GPUs. Pure."""

from __future__ import annotations

from services.scheduler.shapes import Shapes
from services.scheduler.split import Split

GIB = 2**30
CONTEXT_GIB = 0.24
"""CUDA's context and the kernels' code; measured 0.22 on an H200."""
STATE_GIB = 0.06
"""The kernels of layers that keep a state; measured 0.00 to 0.13."""
NCCL_GIB = 0.6
"""Channels and buffers for talking to other GPUs of a replica."""
NODES_GIB = 0.4
"""Further buffers where they are on several machines."""


def non_torch_bytes(shapes: Shapes, split: Split) -> int:
    """Bytes on one GPU."""
    several = (NCCL_GIB if split.gpus > 1 else 0) + (NODES_GIB if split.nodes > 1 else 0)
    return int((CONTEXT_GIB + several + (STATE_GIB if shapes.hybrid else 0)) * GIB)
