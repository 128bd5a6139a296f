"""What fine-tuning keeps of its tokens until the way back. Pure.

- A layer, each width counted by itself. What is frozen keeps no input of its own, but where it is of eight bits: of an
  MLP its gate, what that is multiplied with, and the activation; of attention queries, keys and values, for all heads
  as where a batch is padded, and what comes of them. Both norms keep their input in 32 bits, and so does an adapter.
- Most families have more: norms of queries and keys, or four norms a layer. Both are counted for all but `PLAIN`. A
  mixture keeps what comes of each expert that is chosen. A layer with a state keeps several times as much where it has
  no kernel of its own.
- With checkpointing a layer keeps its input alone, and one at a time is whole, with the gradients of its widest parts.
- Attention that is `eager` keeps a matrix of length by length for each head: transformers takes the softmax in 32 bits,
  and casts it to what is computed in (measured with PyTorch 2.13: 6 bytes a score in 16 bits, 4 in 32, and 12 of the
  layer at work).
- The output layer is multiplied in tiles of 4,096 tokens and 32,768 words at most (TRL 1.16), so that the logits of all
  tokens never are in memory; and there is the gradient of its input in 32 bits.
- Loss on data that was held out is measured without a way back: one layer at a time, but of its own batch.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from services.scheduler.shapes import Mixer, Shapes

PLAIN: Final = frozenset(
    {
        "LlamaForCausalLM",
        "MistralForCausalLM",
        "Qwen2ForCausalLM",
        "Phi3ForCausalLM",
        "OPTForCausalLM",
        "FalconForCausalLM",
        "GPTNeoXForCausalLM",
    }
)
"""Architectures whose layers have two norms of the hidden width, and no other."""
ADAPTED_MLP: Final = frozenset({"PhiForCausalLM"})
"""Architectures whose MLP peft gives an adapter unless the user says otherwise."""
_FOUR_BITS: Final = 4.5
"""With their scales; what has more and is below 16 has eight."""
_STATE_TIMES: Final = 3
"""By a count of what autograd keeps of a layer of Falcon H1."""
_TILE_TOKENS, _TILE_WORDS = 4096, 32768
_TILE_ON_CPU: Final = 44
"""Further bytes of each of a tile's logits where PyTorch works on it without a kernel: eleven copies in 32 bits."""
_SCORE_AT_WORK: Final = 12
"""Bytes of an attention score of the layer that is computed."""


class Training(NamedTuple):
    """What memory depends on. `bits` of a frozen weight, `rank` of the adapter, `length` in tokens of an example.

    `everywhere`: all linear layers have an adapter, or it is not known which; else two of each attention. `eager`: no
    kernel fuses the attention. `held_out` is the batch in which loss is measured in the end, 0 where it is not.
    `copied`: weights are kept in 32 bits and computed with in 16.
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
    copied: bool = False


def activations(shapes: Shapes, training: Training, element_bytes: int, *, on_gpu: bool) -> float:
    """Bytes of the training, or of the measuring after it, if that takes more."""
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
    hidden, width, plain = shapes.hidden, _width(shapes), shapes.architecture in PLAIN
    queries, keys = _heads(shapes)
    elements = 2 * queries + keys + (3 if shapes.gated_mlp else 2) * width
    elements += shapes.experts.chosen * hidden if shapes.experts else 0
    elements += 2 * hidden + width if _FOUR_BITS < training.bits < 16 else 0
    normed = 2 * hidden if plain else 4 * hidden + queries + keys
    everywhere = training.everywhere or shapes.architecture in ADAPTED_MLP
    adapted = 6 * hidden + width if everywhere else 2 * hidden
    with_state = any(mixer in (Mixer.STATE, Mixer.BOTH) for mixer in shapes.mixers)
    return (element_bytes * elements + 4 * (normed + adapted)) * (_STATE_TIMES if with_state else 1)


def _heads(shapes: Shapes) -> tuple[int, int]:
    """Widths of queries, and of keys and values together, of all heads."""
    heads = shapes.attention
    if heads is None:
        return shapes.hidden, shapes.hidden
    return heads.heads * heads.head_dim, heads.heads * (heads.head_dim + heads.value_dim)


def _width(shapes: Shapes) -> int:
    """Of the MLP that a token goes through."""
    if not shapes.experts:
        return shapes.intermediate
    return max(shapes.intermediate, shapes.experts.chosen * shapes.experts.width + shapes.experts.shared_width)
