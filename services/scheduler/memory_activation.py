"""What one step of the engine takes at its peak, beside weights and cache. Pure.

vLLM measures it when it starts, by a step of as many tokens as one may have. The peak is the largest of four moments,
each worked out from the tensors that are alive then, in 16 bits unless said otherwise:

1. MLP: gate and up, their product, and three hidden states (the residual, the input of the layer, its norm).
2. Attention: queries, keys and values, their rotated copies, what comes out, and two hidden states.
3. Sampling: logits of one row a request, and what the sampler makes of them.
4. Compiling: the compiler tries out the kernel of the embedding on a second table, and two hidden states.
   A start with a warm cache of compiled code is spared this.

A mixture's step has, instead of 1, the inputs and outputs of all experts that are chosen for each token.
"""

from __future__ import annotations

from services.scheduler.memory_settings import EngineLimits, new_runner
from services.scheduler.shapes import Experts, Feed, Mixer, Shapes
from services.scheduler.split import Split

BASE_BYTES = 96 << 20
"""Workspaces of the matrix kernels (three of 32 MiB)."""
LATENT_ROWS = 64 * 1024
"""Rows of cached latents that are expanded at once at most (MLA)."""


def activation_bytes(shapes: Shapes, split: Split, limits: EngineLimits, max_model_len: int) -> int:
    """Bytes at the peak of the largest step on one GPU."""
    layers = 2 * limits.batched * max(
        _feed_width(shapes, split), _attention_width(shapes, split), _state_width(shapes, split)
    ) + _latent_bytes(shapes, split, limits, max_model_len)
    return BASE_BYTES + max(layers, _sampling_bytes(shapes, limits), _compiling_bytes(shapes, split, limits))


def _feed_width(shapes: Shapes, split: Split) -> int:
    """Elements a token while a layer's MLP or experts run."""
    width = 0
    if Feed.DENSE in shapes.feeds:
        width = (3 if shapes.gated_mlp else 2) * -(-shapes.intermediate // split.tensor) + 3 * shapes.hidden
    return max(width, _experts_width(shapes, shapes.experts, split)) if shapes.experts else width


def _experts_width(shapes: Shapes, experts: Experts, split: Split) -> int:
    """Two workspaces for the chosen experts of each token: one for what goes in, one for what comes out."""
    hidden = experts.latent_width or shapes.hidden
    own = experts.width if split.expert_parallel else -(-experts.width // split.tensor)
    work = experts.chosen * (max(own, hidden) + max(2 * own, hidden))
    return work + 4 * shapes.hidden + 2 * experts.count


def _attention_width(shapes: Shapes, split: Split) -> int:
    """Elements a token while a layer's attention runs."""
    heads = shapes.attention
    if heads is None:
        return 0
    if latent := shapes.latent:
        own = heads.heads // split.tensor
        query = own * (latent.nope_dim + latent.rope_dim)
        return 2 * query + 2 * (latent.query_rank or 0) + 2 * latent.width + own * latent.value_dim + 3 * shapes.hidden
    queries = heads.heads * heads.head_dim // split.tensor
    keys = max(1, heads.kv_heads // split.tensor) * heads.head_dim
    return 3 * queries + 3 * keys + 2 * shapes.hidden


def _state_width(shapes: Shapes, split: Split) -> int:
    """Elements a token while a layer with a state runs: its projections, the convolution, and what comes out."""
    state = shapes.state
    if state is None or not any(mixer in (Mixer.STATE, Mixer.BOTH) for mixer in shapes.mixers):
        return 0
    return (state.in_width + state.conv_width + 2 * state.out_width) // split.tensor + 3 * shapes.hidden


def _latent_bytes(shapes: Shapes, split: Split, limits: EngineLimits, max_model_len: int) -> int:
    """MLA expands the latents of earlier tokens, so many at once, into keys and values of all heads."""
    if shapes.latent is None or shapes.attention is None:
        return 0
    rows = min(LATENT_ROWS, max(8 * max_model_len, 4 * limits.sequences * 64))
    width = shapes.attention.heads // split.tensor * (shapes.latent.nope_dim + shapes.latent.value_dim)
    return 2 * rows * width


def _sampling_bytes(shapes: Shapes, limits: EngineLimits) -> int:
    """The first runner samples in four copies of the logits, three of them in 32 bits; the second in place."""
    held = 2 * 2 * limits.batched * shapes.hidden
    each = 6 if new_runner(shapes) else 14
    return held + limits.rows * shapes.vocab * each


def _compiling_bytes(shapes: Shapes, split: Split, limits: EngineLimits) -> int:
    if limits.eager:
        return 0
    return 2 * shapes.vocab * shapes.hidden // split.tensor + 2 * 2 * limits.batched * shapes.hidden
