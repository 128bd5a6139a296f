"""What a model takes on each GPU, before it runs there.

The formulae were fitted to what vLLM 0.26 reported on an H200 for five dense models (3.8 to 14 B parameters, 2048 to
16384 batched tokens, bfloat16 and fp8): cache = utilization x total - weights - activation - non-torch, and the CUDA
graphs come on top of the utilization. The constants err on the side of less cache: 0.1 to 5 % under what was measured.
"""

from __future__ import annotations

from services.scheduler.facts import Facts, ModelFacts
from services.scheduler.parallelism import Split

GIB = 2**30
BLOCK_TOKENS = 16
"""vLLM hands out the cache in blocks of this many tokens."""
LOADED_WEIGHTS = 1.01
"""Weights in memory against weights on disk: buffers and padding. Measured 1.003 to 1.007."""
UNEVEN_STAGES = 1.05
"""The first and last stage of a pipeline also hold the embeddings."""
LEAST_ACTIVATION_GIB = 1.15
"""Measured 1.01 with 2048 batched tokens, whatever the model."""
GRAPHS_GIB = 1.3
"""CUDA graphs: measured 0.6 to 1.3."""
CONTEXT_GIB = 0.25
"""What CUDA itself takes: measured 0.22 on one GPU."""
NCCL_GIB = 0.6
"""What talking to other GPUs adds."""


class GpuMemory(Facts):
    """The memory of one GPU in GiB, and how many tokens of cache that makes for a replica."""

    weights_gib: float
    activation_gib: float
    non_torch_gib: float
    graphs_gib: float
    kv_cache_gib: float
    kv_bytes_per_token: int
    kv_tokens: int


def on_each_gpu(model: ModelFacts, split: Split, total_gib: float, utilization: float, batched: int) -> GpuMemory:
    """The memory of the fullest GPU. `kv_cache_gib` is below zero where not even the weights fit.

    `total_gib` is what the driver reports, `utilization` the share of it that vLLM may plan with, `batched` the most
    tokens it computes in one step.
    """
    weights = weights_gib(model, split)
    activation = activation_gib(model, split.tensor, batched)
    non_torch = CONTEXT_GIB + (NCCL_GIB if split.tensor * split.pipeline > 1 else 0)
    outside = max(0, GRAPHS_GIB - (1 - utilization) * total_gib)
    cache = utilization * total_gib - weights - activation - non_torch - outside
    per_token = kv_bytes_per_token(model, split)
    return GpuMemory(
        weights_gib=weights,
        activation_gib=activation,
        non_torch_gib=non_torch,
        graphs_gib=GRAPHS_GIB,
        kv_cache_gib=cache,
        kv_bytes_per_token=per_token,
        kv_tokens=kv_tokens(cache, per_token),
    )


def weights_gib(model: ModelFacts, split: Split) -> float:
    """The weights on the fullest GPU."""
    uneven = UNEVEN_STAGES if split.pipeline > 1 else 1
    return model.weights_gib * LOADED_WEIGHTS * uneven * split.layers(model) / model.layers / split.tensor


def kv_bytes_per_token(model: ModelFacts, split: Split) -> int:
    """Bytes that one token takes in the cache of one GPU.

    Key-value heads are dealt out over the tensor parallel GPUs, and copied where there are fewer heads than GPUs.
    The latent vector of MLA is needed whole on every one.
    """
    shards = 1 if model.attention == "mla" else min(split.tensor, model.kv_heads)
    return model.kv_bytes_per_layer * split.layers(model) // shards


def activation_gib(model: ModelFacts, tensor: int, batched: int) -> float:
    """The peak of a step: the three wide tensors of the MLP (cut by tensor parallel), hidden states, and logits.

    A width that is not known is guessed on the large side.
    """
    hidden = model.hidden_size or model.heads * model.head_dim
    intermediate = model.intermediate_size or 4 * hidden
    step = 2 * batched * (3 * intermediate / tensor + 4 * hidden)
    logits = 1400 * (model.vocab_size or 262_144)
    return max(LEAST_ACTIVATION_GIB, (step + logits) / GIB)


def kv_tokens(cache_gib: float, bytes_per_token: int) -> int:
    """Whole blocks of tokens that fit into the cache; 0 when there is none."""
    return max(0, int(cache_gib * GIB / bytes_per_token)) // BLOCK_TOKENS * BLOCK_TOKENS
