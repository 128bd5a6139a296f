"""Sizing on machines with GPUs. Pure."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from services.scheduler.facts import ModelFacts
from services.scheduler.memory import GIB, Parts, on_each_gpu, parts_of
from services.scheduler.memory_settings import LARGE_SEQUENCES, SEQUENCES, EngineLimits
from services.scheduler.parallelism import splits
from services.scheduler.sizing_types import DoesNotFit, Machine, Sizing, Wish
from services.scheduler.split import Split

UTILIZATION = 0.9
"""Share of a GPU's memory that vLLM may plan with. It is passed to vLLM, whose own default moves between releases."""
LEAST_CONTEXT = 2048
"""A model that cannot read this many tokens (or all that it knows how to) is of no use."""
SAFE_SHARE = 0.95
"""Part of the predicted cache that requests may count on: vLLM refuses to start if the cache is smaller."""
LONG_STEP, SHORT_STEP = 8192, 2048
"""Tokens that vLLM computes in one step: the long one on Hopper or newer with `LARGE_GPU_GIB`, else the short one."""
LARGE_GPU_GIB, HOPPER = 70, 9.0

LEAST_CAPABILITY = {
    "fp8": 8.0,
    "float-quantized": 8.0,
    "mxfp4": 8.0,
    "nvfp4-pack-quantized": 8.0,
    "MIXED_PRECISION": 8.0,
    "awq-4": 7.5,
    "pack-quantized": 7.5,
}
"""The oldest GPU (CUDA compute capability) for which vLLM has kernels for these weights."""
GPU_ONLY = {name for name, capability in LEAST_CAPABILITY.items() if capability >= 8.0}


def dtype_on(model: ModelFacts, machine: Machine) -> str:
    """What vLLM computes in: float32 without a GPU, float16 on GPUs older than Ampere, which lack bfloat16."""
    if not machine.gpus and not model.quantization:
        return "float32"
    if machine.gpus and machine.cuda_compute_capability is not None and machine.cuda_compute_capability < 8.0:
        return "float16"
    return "auto" if model.quantization else "bfloat16"


def _too_old(model: ModelFacts, node: Machine) -> str | None:
    least = LEAST_CAPABILITY.get(model.quantization or "", 0.0)
    capability = node.cuda_compute_capability
    if capability is None or capability >= least:
        return None
    return (
        f"{model.id} has {model.quantization} weights, for which vLLM needs GPUs of compute capability {least} or "
        f"newer, and these have {capability}."
    )


class _Candidate(NamedTuple):
    split: Split
    limits: EngineLimits
    parts: Parts
    longest: int
    """The longest request that is sure to fit, as often as is wished for."""
    replicas: int


def on_gpus(model: ModelFacts, node: Machine, wish: Wish, max_nodes: int) -> Sizing | DoesNotFit:
    """The fewest nodes, and on one node the fewest GPUs, that serve the wish."""
    if too_old := _too_old(model, node):
        return DoesNotFit(reason=too_old)
    needed = wish.context or min(LEAST_CONTEXT, model.context)
    steps = [_limits(model, node, wish, batched) for batched in _steps(node, wish)]
    tried: list[_Candidate] = []
    for nodes in (1, *range(max(2, min(_least_nodes(model, node, steps[0]), max_nodes)), max_nodes + 1)):
        cuts = splits(model.shapes, node.gpus, nodes, node.interconnect)
        tried = [_try(model, node, split, wish, steps, needed) for split in cuts] or tried
        fitting = [candidate for candidate in tried if candidate.longest >= needed]
        if fitting:
            return _sizing(model, node, _best(fitting, wish.context or model.context), wish)
    return DoesNotFit(reason=_why_not(model, node, tried[-1], wish, needed))


def _least_nodes(model: ModelFacts, node: Machine, limits: EngineLimits) -> int:
    """The second number of nodes to try, after one: fewer could not even hold the weights."""
    held = limits.utilization * node.gpu_memory_gib * node.gpus
    return ceil(model.weights_gib / held) if held else 1


def _try(
    model: ModelFacts, node: Machine, split: Split, wish: Wish, steps: list[EngineLimits], needed: int
) -> _Candidate:
    """The split with the longest step that leaves enough cache."""
    for limits in steps:
        candidate = _candidate(model, node, split, wish, limits)
        if candidate.longest >= needed:
            break
    return candidate


def _candidate(model: ModelFacts, node: Machine, split: Split, wish: Wish, limits: EngineLimits) -> _Candidate:
    parts = parts_of(model.shapes, split, limits, wish.context or model.context, model.weights_gib)
    replicas = node.gpus // split.gpus_per_node if split.nodes == 1 else 1
    requests = -(-(wish.concurrency or 1) // replicas)
    cache = parts.cache_bytes(node.gpu_memory_gib, limits.utilization)
    longest = parts.cut.longest(SAFE_SHARE * cache, model.context, requests)
    return _Candidate(split, limits, parts, longest, replicas)


def _limits(model: ModelFacts, node: Machine, wish: Wish, batched: int) -> EngineLimits:
    sequences = wish.sequences or max(wish.concurrency or 0, LARGE_SEQUENCES if _large(node) else SEQUENCES)
    return EngineLimits(
        utilization=wish.utilization or UTILIZATION,
        batched=batched,
        sequences=sequences,
        cache_dtype=wish.cache_dtype or model.flags.get("kv-cache-dtype", "auto"),
        eager=wish.eager,
        adapters=wish.adapters,
        adapter_rank=wish.adapter_rank,
    )


def _steps(node: Machine, wish: Wish) -> tuple[int, ...]:
    """Tokens that vLLM computes in one step, as its API server sets it by default: more on large GPUs since Hopper."""
    if wish.batched:
        return (wish.batched,)
    return (LONG_STEP, SHORT_STEP) if _large(node) else (SHORT_STEP,)


def _large(node: Machine) -> bool:
    return node.gpu_memory_gib >= LARGE_GPU_GIB and (node.cuda_compute_capability or 0) >= HOPPER


def _best(fitting: list[_Candidate], wanted: int) -> _Candidate:
    """The first that serves the whole context, else the one that serves most of it: the node is paid for anyway."""
    return max(fitting, key=lambda candidate: min(candidate.longest, wanted))


def _sizing(model: ModelFacts, node: Machine, chosen: _Candidate, wish: Wish) -> Sizing:
    split, limits = chosen.split, _startable(model, node, chosen)
    length = wish.context or chosen.longest
    memory = on_each_gpu(model.shapes, split, node.gpu_memory_gib, limits, length, model.weights_gib)
    return Sizing(
        **memory.model_dump(),
        concurrency=memory.kv_tokens / length * chosen.replicas,
        dtype=dtype_on(model, node),
        tensor_parallel=split.tensor,
        pipeline_parallel=split.pipeline,
        data_parallel=chosen.replicas,
        expert_parallel=split.expert_parallel,
        nodes=split.nodes,
        gpus_per_node=chosen.replicas * split.gpus_per_node,
        max_num_batched_tokens=limits.batched,
        max_num_seqs=limits.sequences,
        utilization=limits.utilization,
        memory_gib=min(node.gpu_memory_gib, limits.utilization * node.gpu_memory_gib + memory.graphs_gib),
        total_gib=node.gpu_memory_gib,
        warnings=_shortened(model, memory.max_model_len, wish),
    )


def _startable(model: ModelFacts, node: Machine, chosen: _Candidate) -> EngineLimits:
    """The engine does not start with more requests at once than there are blocks for their states."""
    limits, parts = chosen.limits, chosen.parts
    if not model.shapes.hybrid:
        return limits
    blocks = parts.cut.total_blocks(SAFE_SHARE * parts.cache_bytes(node.gpu_memory_gib, limits.utilization))
    return limits._replace(sequences=min(limits.sequences, max(1, blocks)))


def _shortened(model: ModelFacts, served: int, wish: Wish) -> tuple[str, ...]:
    """Whoever did not ask for a context must hear when it is less than the model's."""
    if wish.context is not None or served == model.context:
        return ()
    often = f", {wish.concurrency} times at once" if wish.concurrency else ""
    return (f"{model.name} could read {model.context} tokens; the memory there holds a context of {served}{often}.",)


def _why_not(model: ModelFacts, node: Machine, last: _Candidate, wish: Wish, needed: int) -> str:
    split, parts, limits = last.split, last.parts, last.limits
    count = split.nodes * node.gpus
    gpus = f"{count} GPUs" if count > 1 else "one GPU"
    often = f" {wish.concurrency} times at once" if wish.concurrency else ""
    nearest = f" The longest context that fits there{often} is {last.longest}." if last.longest else ""
    return (
        f"{model.id} does not fit {gpus} of {node.gpu_memory_gib:.1f} GiB on {split.nodes} node"
        f"{'s' if split.nodes > 1 else ''}: of the {limits.utilization * node.gpu_memory_gib:.1f} GiB that vLLM may "
        f"use of each, weights take {parts.weights / GIB:.1f} and its work "
        f"{(parts.activation + parts.non_torch) / GIB:.1f}, which leaves room for {last.longest} tokens{often}, "
        f"and at least {needed} are needed.{nearest}"
    )
