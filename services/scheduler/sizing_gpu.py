"""Sizing on machines with GPUs. Pure."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from services.scheduler.facts import ModelFacts
from services.scheduler.memory import GIB, GpuMemory, Parts, on_each_gpu, parts_of
from services.scheduler.memory_settings import EngineLimits
from services.scheduler.parallelism import splits
from services.scheduler.sizing_limits import dtype_on, limits_of, reasons_of, steps_on
from services.scheduler.sizing_types import DoesNotFit, Machine, Sizing, Wish
from services.scheduler.split import Split

LEAST_CONTEXT = 2048
"""A model that cannot read this many tokens (or all that it knows how to) is of no use."""
SAFE_SHARE = 0.95
"""Part of the predicted cache that requests may count on: vLLM refuses to start if the cache is smaller."""

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
    steps = [limits_of(model, node, wish, step.value) for step in steps_on(node, wish)]
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
        dtype=dtype_on(model, node).value,
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
        reasons=reasons_of(model, node, wish, limits) | _reasons(model, node, wish, chosen, memory),
    )


def _reasons(model: ModelFacts, node: Machine, wish: Wish, chosen: _Candidate, memory: GpuMemory) -> dict[str, str]:
    """Why it is cut so, and reads so much."""
    found = {"max-model-len": _why_so_long(model, wish, memory)} | _why_cut_so(node, chosen)
    if chosen.split.expert_parallel:
        found["enable-expert-parallel"] = "Whole experts go to each GPU: slices of them would be too narrow."
    if chosen.limits.sequences != _startable(model, node, chosen).sequences:
        found["max-num-seqs"] = "The cache has blocks for the states of so many; with more the engine would not start."
    return found


def _why_cut_so(node: Machine, chosen: _Candidate) -> dict[str, str]:
    split = chosen.split
    joined = f" by {node.interconnect}" if node.interconnect else ""
    nodes = f"{split.nodes} nodes" if split.nodes > 1 else "one node"
    cut = f"Each layer is cut over {split.tensor} GPUs of a node, joined{joined}: fewer would not serve this context."
    dealt = f"The layers are dealt out over {split.pipeline} groups of GPUs on {nodes}: fewer would not hold them."
    copied = f"A replica takes {split.gpus_per_node} of the node's {node.gpus} GPUs, so {chosen.replicas} find room."
    alone = "Not copied: all GPUs that can be used serve one replica."
    return {
        "tensor-parallel-size": cut if split.tensor > 1 else "By the memory model no layer need be cut.",
        "pipeline-parallel-size": dealt if split.pipeline > 1 else "By the memory model all layers fit together.",
        "data-parallel-size": copied if chosen.replicas > 1 else alone,
    }


def _why_so_long(model: ModelFacts, wish: Wish, memory: GpuMemory) -> str:
    if wish.context:
        return "You asked for it (ConfigMap, or annotation kaito.sh/max-model-len), and the memory model has room."
    often = f" {wish.concurrency} times at once (kaito.sh/concurrency)" if wish.concurrency else ""
    cache = f"a cache of {memory.kv_cache_gib:.1f} GiB a GPU by the memory model"
    if memory.max_model_len == model.context:
        return f"All that the model can read: it fits{often} into {cache}."
    return f"The longest request that is sure to fit{often} into {cache}; the model could read {model.context}."


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
