"""The weights of a model on one GPU, tensor by tensor. Pure.

Tensors are those that the engine makes, not those of the checkpoint: queries, keys and values in one, gate and up in
one, all experts of a layer in one. Vectors (norms, biases) are left out: together they are below one part in 5,000.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from services.scheduler.shapes import Attention, Feed, Latent, Mixer, Shapes
from services.scheduler.split import Split, stage

MIB = 1 << 20
SEGMENT = 2 * MIB
"""The allocator takes memory for large tensors from the driver in multiples of this,"""
LARGE = 10 * MIB
"""where a tensor of at least this size gets a segment of its own,"""
KEPT = MIB
"""and a rest of up to this much is not given to anybody else."""
VOCABULARY_STEP = 64
"""The engine pads the vocabulary to a multiple of this on each GPU."""

MXFP4_STEP = 128
"""The kernels for mxfp4 want experts of a width that this divides."""
ROTARY, ABSORBED = "rotary table", "absorbed keys and values"
"""Tensors that no checkpoint holds."""


class Tensor(NamedTuple):
    """`copies` equal tensors of so many elements on one GPU."""

    name: str
    elements: int
    bits: float
    copies: int = 1

    @property
    def allocated(self) -> int:
        """Bytes taken of the GPU for all of them."""
        size = int(self.elements * self.bits) // 8
        rest = -size % SEGMENT
        return self.copies * (size + (rest if size >= LARGE and rest <= KEPT else 0))


def weights_bytes(shapes: Shapes, split: Split) -> int:
    """Bytes of the weights on the fullest GPU."""
    return sum(tensor.allocated for tensor in tensors(shapes, split))


def stored_bytes(shapes: Shapes) -> int:
    """Bytes of the weights in a checkpoint: without what the engine makes of them while it loads."""
    made = {ROTARY, ABSORBED}
    return sum(int(t.elements * t.bits) // 8 * t.copies for t in tensors(shapes, Split()) if t.name not in made)


def tensors(shapes: Shapes, split: Split) -> Iterator[Tensor]:
    """All tensors on the fullest GPU of a replica. With a pipeline that is a stage with an embedding at its end."""
    layers = stage(shapes.layers, split.pipeline)
    yield from _tables(shapes, split)
    for mixer, feed, width, count in _kinds(shapes, layers):
        yield from _mixer(shapes, mixer, split.tensor, count)
        yield from _feed(shapes, feed, width, split, count)
    if shapes.tower:
        yield Tensor("tower", shapes.tower.weight_elements, 16)
    if shapes.attends:
        rotary = shapes.latent.rope_dim if shapes.latent else (shapes.attention.head_dim if shapes.attention else 0)
        yield Tensor(ROTARY, shapes.context * rotary, 16, 3 if Mixer.WINDOW in shapes.mixers else 1)


def _kinds(shapes: Shapes, layers: Sequence[int]) -> Iterator[tuple[Mixer, Feed, int, int]]:
    """The kinds of layers there are, with the width of their MLP, and how many of each."""
    widths = shapes.widths or (shapes.intermediate,) * shapes.layers
    kinds = [(shapes.mixers[index], shapes.feeds[index], widths[index]) for index in layers]
    for kind in dict.fromkeys(kinds):
        yield (*kind, kinds.count(kind))


def _tables(shapes: Shapes, split: Split) -> Iterator[Tensor]:
    """Embedding and output; the same one where they are tied, unless a pipeline parts them."""
    rows = -(-shapes.vocab // (VOCABULARY_STEP * split.tensor)) * VOCABULARY_STEP
    bits = _bits(shapes) if shapes.quantization and shapes.quantization.embeddings else 8 * shapes.element_bytes
    both = not shapes.tied and split.pipeline == 1
    yield Tensor("embedding", rows * shapes.hidden, bits, 2 if both else 1)
    if shapes.positions:
        yield Tensor("positions", shapes.positions * shapes.hidden, 16)
    if shapes.per_layer_embedding:
        yield Tensor("embeddings of layers", rows * shapes.per_layer_embedding * shapes.layers, 16)


def _bits(shapes: Shapes, expert: bool = False) -> float:
    """Bits of a weight in the layers."""
    if shapes.quantization is None or (shapes.quantization.experts_only and not expert):
        return 8 * shapes.element_bytes
    return shapes.quantization.bits


def _mixer(shapes: Shapes, mixer: Mixer, tensor: int, count: int) -> Iterator[Tensor]:
    if mixer in (Mixer.FULL, Mixer.WINDOW, Mixer.CHUNK, Mixer.BOTH):
        if shapes.latent and shapes.attention:
            yield from _latent(shapes, shapes.latent, shapes.attention.heads, tensor, count)
        elif shapes.attention:
            heads = shapes.wide if shapes.wide and mixer is Mixer.FULL else shapes.attention
            yield from _attention(shapes, heads, tensor, count)
    if mixer in (Mixer.STATE, Mixer.BOTH) and shapes.state:
        yield Tensor("state mixer", shapes.state.weight_elements // tensor, _bits(shapes), count)


def _attention(shapes: Shapes, heads: Attention, tensor: int, count: int) -> Iterator[Tensor]:
    """Heads of keys and values are copied where there are fewer than GPUs."""
    queries = heads.heads * heads.head_dim // tensor
    kv_heads = max(1, heads.kv_heads // tensor)
    kinds = heads.head_dim if heads.shared_key else heads.head_dim + heads.value_dim
    projected = queries * (2 if heads.gated else 1) + kv_heads * kinds
    yield Tensor("queries, keys, values", shapes.hidden * projected, _bits(shapes), count)
    yield Tensor("attention output", shapes.hidden * heads.heads * heads.value_dim // tensor, _bits(shapes), count)


def _latent(shapes: Shapes, latent: Latent, heads: int, tensor: int, count: int) -> Iterator[Tensor]:
    """The projections into the latent vectors are on every GPU; those out of them are cut by heads.

    The one for keys and values is kept twice: once to expand prompts, once in 16 bits to absorb it into the queries.
    """
    own = heads // tensor
    query = own * (latent.nope_dim + latent.rope_dim)
    expanded = own * (latent.nope_dim + latent.value_dim) * latent.kv_rank
    if latent.query_rank:
        yield Tensor("latent of queries", shapes.hidden * latent.query_rank, _bits(shapes), count)
    yield Tensor("queries", (latent.query_rank or shapes.hidden) * query, _bits(shapes), count)
    yield Tensor("latent of keys and values", shapes.hidden * latent.width, _bits(shapes), count)
    yield Tensor("keys and values", expanded, _bits(shapes), count)
    if not latent.expanded:
        yield Tensor(ABSORBED, expanded, 16, count)
    yield Tensor("attention output", own * latent.value_dim * shapes.hidden, _bits(shapes), count)
    if latent.indexer_heads:
        into = shapes.hidden * (latent.indexer_dim + latent.indexer_heads)
        queries = (latent.query_rank or shapes.hidden) * latent.indexer_heads * latent.indexer_dim
        yield Tensor("indexer", into + queries, _bits(shapes), count)


def _feed(shapes: Shapes, feed: Feed, width: int, split: Split, count: int) -> Iterator[Tensor]:
    matrices = 3 if shapes.gated_mlp else 2
    if feed is Feed.DENSE:
        yield from _mlp(shapes, width, split.tensor, count)
    if feed is not Feed.EXPERTS or shapes.experts is None:
        return
    experts = shapes.experts
    inner = experts.latent_width or shapes.hidden
    if split.expert_parallel:
        held, inside = -(-experts.count // split.tensor), experts.width
    else:
        held, inside = experts.count, -(-experts.width // split.tensor)
    if shapes.quantization and shapes.quantization.method == "mxfp4":
        inside = -(-inside // MXFP4_STEP) * MXFP4_STEP
    yield Tensor("experts, in", held * inner * inside * (matrices - 1), _bits(shapes, expert=True), count)
    yield Tensor("experts, out", held * inner * inside, _bits(shapes, expert=True), count)
    yield Tensor("router", shapes.hidden * experts.count, 16, count)
    if experts.latent_width:
        yield Tensor("into the experts and back", 2 * shapes.hidden * experts.latent_width, 16, count)
    if experts.shared_width:
        yield from _mlp(shapes, experts.shared_width, split.tensor, count)


def _mlp(shapes: Shapes, width: int, tensor: int, count: int) -> Iterator[Tensor]:
    own = -(-width // tensor)
    yield Tensor("MLP, in", shapes.hidden * own * (2 if shapes.gated_mlp else 1), _bits(shapes), count)
    yield Tensor("MLP, out", shapes.hidden * own, _bits(shapes), count)
