"""What fine-tuning with LoRA takes of one GPU, or of a machine without one. Pure.

Each GPU holds the whole model and its own part of the batch. Five parts, in bytes:

1. Weights, frozen: each at the method's width, 16 or 32 bits for LoRA; for QLoRA 4 bits and their scales (Dettmers
   et al., "QLoRA", arXiv 2305.14314, section 3), but for embeddings and output, which stay at full width.
2. The adapter: r * (in + out) parameters a matrix (Hu et al., "LoRA", arXiv 2106.09685, section 4.1), in 32 bits, each
   with its gradient and with what the optimizer keeps of it: two numbers of 32 or of 8 bits for Adam.
3. Activations that the way back needs, each width counted by itself. What is frozen keeps no input of its own: of an
   MLP its gate, what that is multiplied with, and the activation; of attention queries, keys, values, and what comes
   of them. Both norms keep their input in 32 bits, and so does an adapter. With checkpointing a layer keeps its input
   alone, and one layer at a time is whole, with the gradients of its widest parts. Attention that is `eager` keeps a
   matrix of length by length for each head: transformers takes the softmax in 32 bits, and casts it to what is
   computed in (measured with PyTorch 2.13: 6 bytes a score in 16 bits, 4 in 32, and 12 of the layer at work). Loss on
   data that was held out is measured without a way back: one layer at a time, but of its own batch.
4. The output layer, which TRL 1.16 multiplies in tiles of 4,096 tokens and 32,768 words at most, so that the logits of
   all tokens never are in memory; and the gradient of its input in 32 bits.
5. What is there before: the context of CUDA and its libraries, or Python with PyTorch; for QLoRA the largest matrix,
   unpacked to be multiplied; and where GPUs train side by side, what NCCL takes, and on the first GPU a context of each
   of the others, which was seen when a run went on from a checkpoint.

Measured on two H200, 2026-11-28 (docs/tuning.md has the table): planned is 1.01 to 1.12 times what the driver said was
taken. Without a GPU 1.0 to 1.3 times as much as was resident of SmolLM2-135M.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from services.contracts.tuning import TuningMemory
from services.scheduler.memory import GIB
from services.scheduler.memory_weights import ABSORBED, ROTARY, Tensor, tensors
from services.scheduler.shapes import Mixer, Shapes
from services.scheduler.split import Split

GPU_OVERHEAD_GIB: Final = 1.2
"""Context, libraries, and workspaces of the matrix kernels."""
NCCL_GIB: Final = 0.9
"""Of two processes 0.82 was measured."""
CONTEXT_GIB: Final = 0.52
"""A further process's context on a GPU."""
CPU_OVERHEAD_GIB: Final = 1.3
"""The process that trains, with PyTorch and the data's pages, and the one that answers for it."""
FULL_WIDTH: Final = frozenset({"embedding", "positions", "embeddings of layers", "router", "tower"})
"""Tensors that bitsandbytes leaves as they are."""
_PARAMETER, _GRADIENT = 4, 4
_STATES: Final = {"adafactor": 0.5, "sgd": 0.0, "adamw_8bit": 2.0, "paged_adamw_8bit": 2.0}
"""Bytes that the optimizer keeps for each parameter; Adam in 32 bits has 8."""
_ADAM: Final = 8.0
_TILE_TOKENS, _TILE_WORDS = 4096, 32768
_TILE_ON_CPU: Final = 44
"""Further bytes of each of a tile's logits where PyTorch works on it without a kernel: eleven copies in 32 bits."""
_SCORE_AT_WORK: Final = 12
"""Bytes of an attention score of the layer that is computed."""


class Training(NamedTuple):
    """What memory depends on. `bits` of a frozen weight, `rank` of the adapter, `length` in tokens of an example.

    `everywhere`: all linear layers have an adapter, or it is not known which; else two of each attention. `eager`: no
    kernel fuses the attention. `held_out` is the batch in which loss is measured in the end, 0 where it is not.
    """

    bits: float = 16
    rank: int = 8
    batch: int = 1
    length: int = 1024
    optimizer: str = "adamw_torch"
    checkpointing: bool = False
    everywhere: bool = False
    eager: bool = False
    held_out: int = 0


def tuning_memory(
    shapes: Shapes, training: Training, *, element_bytes: int, gpus: int, total_gib: float
) -> TuningMemory:
    """The parts in GiB of each of so many GPUs, or of a machine with none.

    `element_bytes` is the width of what is computed in, `total_gib` what is there.
    """
    overhead = _overhead_gib(gpus) * GIB + _unpacked(shapes, training)
    return TuningMemory(
        weights_gib=round(_weights(shapes, training, element_bytes) / GIB, 3),
        adapter_gib=round(adapter_parameters(shapes, training) * _bytes_each(training) / GIB, 3),
        activation_gib=round(_activations(shapes, training, element_bytes, on_gpu=gpus > 0) / GIB, 3),
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


def _bytes_each(training: Training) -> float:
    return _PARAMETER + _GRADIENT + _STATES.get(training.optimizer, _ADAM)


def _matrices(shapes: Shapes) -> Iterator[Tensor]:
    """The tensors of a checkpoint."""
    return (tensor for tensor in tensors(shapes, Split()) if tensor.name not in (ROTARY, ABSORBED))


def _adapted(shapes: Shapes, training: Training) -> Iterator[Tensor]:
    """Those with an adapter: queries, keys and values alone count as the two that are adapted by default."""
    for tensor in _matrices(shapes):
        if tensor.name not in FULL_WIDTH and (training.everywhere or tensor.name.startswith("queries")):
            yield tensor


def _weights(shapes: Shapes, training: Training, element_bytes: int) -> float:
    small = training.bits if training.bits < 16 else 8 * element_bytes
    widths = ((t, 8 * element_bytes if t.name in FULL_WIDTH else small) for t in _matrices(shapes))
    return sum(tensor.elements * tensor.copies * bits / 8 for tensor, bits in widths)


def _overhead_gib(gpus: int) -> float:
    if not gpus:
        return CPU_OVERHEAD_GIB
    return GPU_OVERHEAD_GIB + (NCCL_GIB + CONTEXT_GIB * (gpus - 1) if gpus > 1 else 0)


def _activations(shapes: Shapes, training: Training, element_bytes: int, *, on_gpu: bool) -> float:
    """Of the training, or of the measuring after it, if that takes more."""
    trained, measured = _trained(shapes, training, element_bytes), _measured(shapes, training, element_bytes)
    tokens = max(training.batch, training.held_out) * training.length
    return max(trained, measured) + _output(shapes, tokens, element_bytes, on_gpu=on_gpu)


def _trained(shapes: Shapes, training: Training, element_bytes: int) -> float:
    tokens = training.batch * training.length
    layer = tokens * _layer_bytes(shapes, training, element_bytes)
    at_work = tokens * 3 * _width(shapes) * element_bytes
    kept = tokens * shapes.hidden * element_bytes
    layers = shapes.layers * kept + layer if training.checkpointing else shapes.layers * layer
    return layers + at_work + _scores(shapes, training, element_bytes)


def _measured(shapes: Shapes, training: Training, element_bytes: int) -> float:
    token = _layer_bytes(shapes, training, element_bytes)
    return training.held_out * (training.length * token + _scores_each(shapes, training) * _SCORE_AT_WORK)


def _output(shapes: Shapes, tokens: int, element_bytes: int, *, on_gpu: bool) -> float:
    """A tile of logits, which is worked on in 32 bits where there is no kernel for it, and the gradient."""
    each = element_bytes + (0 if on_gpu else _TILE_ON_CPU)
    return min(tokens, _TILE_TOKENS) * min(shapes.vocab, _TILE_WORDS) * each + 4 * tokens * shapes.hidden


def _scores_each(shapes: Shapes, training: Training) -> int:
    """Attention scores that a layer makes of one example, where no fused kernel keeps them to itself."""
    heads = shapes.attention.heads if shapes.attention and training.eager else 0
    return heads * training.length**2


def _scores(shapes: Shapes, training: Training, element_bytes: int) -> int:
    """Bytes of the scores of all layers that attend; with checkpointing of the one at work."""
    attending = sum(mixer not in (Mixer.STATE, Mixer.NONE) for mixer in shapes.mixers)
    kept = 4 + (element_bytes if element_bytes < 4 else 0)
    others = 0 if training.checkpointing else max(0, attending - 1) * kept
    return training.batch * _scores_each(shapes, training) * (others + _SCORE_AT_WORK)


def _layer_bytes(shapes: Shapes, training: Training, element_bytes: int) -> float:
    """Bytes of a token in one layer: norms, queries, keys, values and what comes of them, and the MLP."""
    heads, hidden, width = shapes.attention, shapes.hidden, _width(shapes)
    queries = heads.heads * heads.head_dim if heads else hidden
    keys = heads.kv_heads * (heads.head_dim + heads.value_dim) if heads else hidden
    elements = 2 * queries + keys + (3 if shapes.gated_mlp else 2) * width
    adapted = 6 * hidden + width if training.everywhere else 2 * hidden
    return element_bytes * elements + 4 * (2 * hidden + adapted)


def _width(shapes: Shapes) -> int:
    """Of the MLP that a token goes through."""
    if not shapes.experts:
        return shapes.intermediate
    return max(shapes.intermediate, shapes.experts.chosen * shapes.experts.width + shapes.experts.shared_width)


def _unpacked(shapes: Shapes, training: Training) -> float:
    """QLoRA's largest matrix in 16 bits."""
    if training.bits >= 16:
        return 0
    return 2.0 * max(tensor.elements for tensor in _matrices(shapes) if tensor.name not in FULL_WIDTH)
