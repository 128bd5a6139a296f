"""What one step of the engine takes at its peak, beside weights and cache. Pure.

vLLM measures it when it starts, by a step of as many tokens as one may have. The peak is the largest of the moments
below, each worked out from the tensors that are alive then, in 16 bits unless said otherwise:

1. MLP: gate and up, their product, and three hidden states (the residual, the input of the layer, its norm).
2. Attention: queries, keys and values, their rotated copies, what comes out, and some hidden states.
3. Sampling: logits of one row a request, and what the sampler makes of them.
4. Compiling: the compiler tries out the kernel of the embedding on a second table, and two hidden states.
   A start with a warm cache of compiled code is spared this.

The workspaces of a mixture's experts are kept from the first layer on, and so add to 1 to 3.
"""

from __future__ import annotations

from services.scheduler.memory_settings import EngineLimits, new_runner
from services.scheduler.shapes import Feed, Shapes
from services.scheduler.split import Split

MIB = 1 << 20
KERNEL_BYTES = 96 * MIB
"""Workspaces of the matrix kernels: three of 32 MiB,"""
SAMPLER_BYTES = 40 * MIB
"""of which one and some small tensors are alive while tokens are sampled."""
COMPILER_BYTES = 6 * MIB
LATENT_ROWS = 64 * 1024
"""Rows of cached latents that are expanded at once at most (MLA)."""
LATENT_BLOCK = 16
SAMPLED_TWICE = 14
"""Bytes that the first runner's sampler takes for each logit: 2, and three copies in 32 bits. The second one's is 2."""
ADAPTER_BYTES = 64 * MIB
"""Buffers of the kernels for LoRA adapters."""
PICTURE_TOKENS = 16 * 1024
"""Tokens of the largest picture that is tried, each of which is made of four patches."""


def activation_bytes(shapes: Shapes, split: Split, limits: EngineLimits, max_model_len: int) -> int:
    """Bytes at the peak of the largest step on one GPU."""
    tokens = 2 * limits.batched
    early, late = _dense_widths(shapes, split)
    layers = KERNEL_BYTES + tokens * max(late, _state_width(shapes, split))
    attention = KERNEL_BYTES // 3 + tokens * _attention_width(shapes, split)
    attention += _latent_bytes(shapes, split, limits, max_model_len)
    kept = _experts_bytes(shapes, split, limits) + (ADAPTER_BYTES if limits.adapters else 0)
    step = max(KERNEL_BYTES + tokens * early, kept + max(layers, attention, _sampling_bytes(shapes, limits)))
    pictures, made = encoder_bytes(shapes) if not new_runner(shapes) else (0, 0)
    return max(step + made, pictures, _compiling_bytes(shapes, split, limits))


def _dense_widths(shapes: Shapes, split: Split) -> tuple[int, int]:
    """Elements a token while a layer's MLP runs: before the first experts, and from then on.

    Later layers have at least the hidden states that experts are added up from.
    """
    early = late = 0
    if Feed.DENSE in shapes.feeds:
        early = late = shapes.intermediate
    if shapes.experts:
        first = shapes.feeds.index(Feed.EXPERTS) if shapes.mixture else 0
        late = max(shapes.experts.shared_width, late if Feed.DENSE in shapes.feeds[first:] else 0)
    matrices, hidden = (3 if shapes.gated_mlp else 2), 3 * shapes.hidden
    return matrices * -(-early // split.tensor) + hidden, matrices * -(-late // split.tensor) + hidden


def _experts_bytes(shapes: Shapes, split: Split, limits: EngineLimits) -> int:
    """Two workspaces for the chosen experts of each token: one for what goes in, one for what comes out."""
    experts = shapes.experts
    if experts is None or (shapes.quantization and shapes.quantization.method == "mxfp4"):
        return 0  # the kernels for mxfp4 keep none
    hidden = experts.latent_width or shapes.hidden
    own = experts.width if split.expert_parallel else -(-experts.width // split.tensor)
    return 2 * limits.batched * experts.chosen * (max(own, hidden) + max(2 * own, hidden))


def _attention_width(shapes: Shapes, split: Split) -> int:
    """Elements a token while a layer's attention runs."""
    heads = shapes.attention
    if heads is None:
        return 0
    if latent := shapes.latent:
        own = heads.heads // split.tensor
        query = own * (latent.nope_dim + latent.rope_dim)
        return query + (latent.query_rank or 0) + latent.width + own * latent.value_dim + shapes.hidden
    queries = heads.heads * heads.head_dim // split.tensor
    keys = max(1, heads.kv_heads // split.tensor) * heads.head_dim
    return 3 * queries + 3 * keys + 3 * shapes.hidden


def _state_width(shapes: Shapes, split: Split) -> int:
    """Elements a token while a layer with a state runs: its projections, the convolution, and what comes out."""
    state = shapes.state
    if state is None:
        return 0
    return (state.in_width + state.conv_width + 2 * state.out_width) // split.tensor + 3 * shapes.hidden


def _latent_bytes(shapes: Shapes, split: Split, limits: EngineLimits, max_model_len: int) -> int:
    """MLA expands the latents of earlier tokens, so many at once, into keys and values of all heads."""
    if shapes.latent is None or shapes.latent.expanded or shapes.attention is None:
        return 0
    rows = min(LATENT_ROWS, max(8 * max_model_len, 4 * limits.sequences * LATENT_BLOCK))
    width = shapes.attention.heads // split.tensor * (shapes.latent.nope_dim + shapes.latent.value_dim)
    return 2 * rows * width


def _sampling_bytes(shapes: Shapes, limits: EngineLimits) -> int:
    """Logits of one token a request, and three hidden states of all tokens."""
    each = 2 if new_runner(shapes) else SAMPLED_TWICE
    return SAMPLER_BYTES + 3 * 2 * limits.batched * shapes.hidden + limits.rows * shapes.vocab * each


def _compiling_bytes(shapes: Shapes, split: Split, limits: EngineLimits) -> int:
    """Nothing where pictures are embedded too: then the embedding is not part of what is compiled."""
    if limits.eager or shapes.tower:
        return 0
    return COMPILER_BYTES + 2 * shapes.vocab * shapes.hidden // split.tensor + 2 * 2 * limits.batched * shapes.hidden


def encoder_bytes(shapes: Shapes) -> tuple[int, int]:
    """The peak while the largest picture is encoded, and what comes of it, which is kept for the model's step."""
    tower = shapes.tower
    if tower is None:
        return 0, 0
    made = 2 * PICTURE_TOKENS * shapes.hidden
    return made + 2 * 4 * PICTURE_TOKENS * (2 * tower.intermediate + 5 * tower.hidden), made
