"""Whether a model fits a machine, on how many of them, and what it will serve there. Pure: no I/O, no clock."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from pydantic import Field

from services.contracts.plan import Prediction
from services.scheduler.facts import Facts, ModelFacts
from services.scheduler.memory import BLOCK_TOKENS, GIB, GpuMemory, kv_tokens, on_each_gpu, weights_gib
from services.scheduler.parallelism import Split, splits

UTILIZATION = 0.9
"""Share of a GPU's memory that vLLM may plan with. It is passed to vLLM, whose own default moves between releases."""
MAX_NODES = 16
"""More nodes than this are never planned for one replica."""
LEAST_CONTEXT = 2048
"""A model that cannot read this many tokens (or all that it knows how to) is of no use."""
SAFE_SHARE = 0.95
"""Part of the predicted cache that a single request may count on: vLLM refuses to start if the cache is smaller."""
CPU_CACHE_GIB = 1
"""Least cache on a machine without a GPU (VLLM_CPU_KVCACHE_SPACE)."""
CPU_RUNTIME_GIB = 2.4
"""vLLM's three Python processes without weights and cache; measured 1.8 to 2.1 with a model of 135 M parameters."""
CPU_WIDENING = 2
"""On a CPU vLLM computes in float32, and so do 16-bit weights and cache take twice their size. In bfloat16 its
rounding was seen to change the answer of a small model: to a question with one right answer it gave another."""
LONG_STEP, SHORT_STEP = 8192, 2048
"""Tokens that vLLM computes in one step: the long one on Hopper or newer with `LARGE_GPU_GIB`, else the short one."""
LARGE_GPU_GIB, HOPPER = 70, 9.0

_LEAST_CAPABILITY = {
    "fp8": 8.0,
    "float-quantized": 8.0,
    "mxfp4": 8.0,
    "nvfp4-pack-quantized": 8.0,
    "MIXED_PRECISION": 8.0,
    "awq-4": 7.5,
    "pack-quantized": 7.5,
}
"""The oldest GPU (CUDA compute capability) for which vLLM has kernels for these weights."""
_GPU_ONLY = {name for name, capability in _LEAST_CAPABILITY.items() if capability >= 8.0}


class Machine(Facts):
    """What a model may take of one machine, in GiB. Without GPUs it is `memory_gib` of the host.

    `gpu_memory_gib` is what the driver of one GPU reports, which is less than the nominal size.
    """

    gpus: int = Field(default=0, ge=0)
    gpu_memory_gib: float = Field(default=0, ge=0)
    cuda_compute_capability: float | None = None
    memory_gib: float = Field(default=0, ge=0)


class Sizing(Facts):
    """How a model runs on `nodes` equal machines. Memory is in GiB for the fullest GPU, or for the CPU's process.

    `gpus_per_node` are all GPUs that are used on a node: those of one replica times `data_parallel`. `kv_tokens` are
    those of one replica. `memory_gib` is all that is taken, of `total_gib` that is there.
    """

    dtype: str
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    data_parallel: int = 1
    nodes: int = 1
    gpus_per_node: int = 0
    weights_gib: float
    activation_gib: float
    non_torch_gib: float = 0
    graphs_gib: float = 0
    kv_cache_gib: float
    kv_bytes_per_token: int
    kv_tokens: int
    max_model_len: int
    max_num_batched_tokens: int | None = None
    utilization: float | None = None
    memory_gib: float
    total_gib: float
    warnings: tuple[str, ...] = ()

    def prediction(self) -> Prediction:
        """What the engine should report, to compare with what it does report."""
        return Prediction(
            weights_gib=self.weights_gib,
            activation_gib=self.activation_gib,
            kv_cache_gib=self.kv_cache_gib,
            kv_tokens=self.kv_tokens,
            total_gib=self.total_gib,
        )


class DoesNotFit(Facts):
    """The model cannot run there; `reason` is a sentence with the numbers."""

    reason: str


class _Candidate(NamedTuple):
    split: Split
    memory: GpuMemory
    batched: int
    longest: int


def size(
    model: ModelFacts,
    machine: Machine,
    context: int | None = None,
    utilization: float | None = None,
    max_nodes: int = MAX_NODES,
) -> Sizing | DoesNotFit:
    """The fewest machines of this kind, and on them the fewest GPUs, that serve the model.

    `context` is the number of tokens that one request must be able to use; None means as many as fit, up to the
    model's own limit (on a CPU 2048, since it is slow beyond that). `utilization` None is `UTILIZATION`.
    """
    if context is not None and context > model.context:
        return DoesNotFit(
            reason=f"{model.id} reads at most {model.context} tokens, and a context of {context} was asked for."
        )
    if not machine.gpus:
        return _on_cpu(model, machine, context)
    if too_old := _too_old(model, machine):
        return DoesNotFit(reason=too_old)
    return _on_gpus(model, machine, context, utilization or UTILIZATION, max_nodes)


def dtype_on(model: ModelFacts, machine: Machine) -> str:
    """What vLLM computes in: float32 without a GPU, float16 on GPUs older than Ampere, which lack bfloat16."""
    if not machine.gpus and not model.quantization:
        return "float32"
    if machine.gpus and machine.cuda_compute_capability is not None and machine.cuda_compute_capability < 8.0:
        return "float16"
    return "auto" if model.quantization else "bfloat16"


def _on_gpus(
    model: ModelFacts, node: Machine, context: int | None, utilization: float, max_nodes: int
) -> Sizing | DoesNotFit:
    needed = context or min(LEAST_CONTEXT, model.context)
    tried: list[_Candidate] = []
    for nodes in range(1, max_nodes + 1):
        tried = [_try(model, node, split, needed, utilization) for split in splits(model, node.gpus, nodes)] or tried
        fitting = [candidate for candidate in tried if candidate.longest >= needed]
        if fitting:
            return _sizing(model, node, _best(fitting, context or model.context), context, utilization)
    return DoesNotFit(reason=_why_not(model, node, tried[-1], needed, utilization))


def _try(model: ModelFacts, node: Machine, split: Split, needed: int, utilization: float) -> _Candidate:
    """The split with the longest step that leaves enough cache."""
    candidates = [_candidate(model, node, split, batched, utilization) for batched in _steps(node)]
    return next((candidate for candidate in candidates if candidate.longest >= needed), candidates[-1])


def _candidate(model: ModelFacts, node: Machine, split: Split, batched: int, utilization: float) -> _Candidate:
    memory = on_each_gpu(model, split, node.gpu_memory_gib, utilization, batched)
    safe = int(memory.kv_tokens * SAFE_SHARE) // BLOCK_TOKENS * BLOCK_TOKENS
    return _Candidate(split, memory, batched, longest=min(model.context, safe))


def _steps(node: Machine) -> tuple[int, ...]:
    """Tokens that vLLM computes in one step, as its API server sets it by default: more on large GPUs since Hopper."""
    large = node.gpu_memory_gib >= LARGE_GPU_GIB and (node.cuda_compute_capability or 0) >= HOPPER
    return (LONG_STEP, SHORT_STEP) if large else (SHORT_STEP,)


def _best(fitting: list[_Candidate], wanted: int) -> _Candidate:
    """The first that serves the whole context, else the one that serves most of it: the node is paid for anyway."""
    return max(fitting, key=lambda candidate: min(candidate.longest, wanted))


def _sizing(model: ModelFacts, node: Machine, chosen: _Candidate, context: int | None, utilization: float) -> Sizing:
    split, memory = chosen.split, chosen.memory
    replicas = node.gpus // split.gpus_per_node if split.nodes == 1 else 1
    return Sizing(
        **memory.model_dump(),
        dtype=dtype_on(model, node),
        tensor_parallel=split.tensor,
        pipeline_parallel=split.pipeline,
        data_parallel=replicas,
        nodes=split.nodes,
        gpus_per_node=replicas * split.gpus_per_node,
        max_model_len=context or chosen.longest,
        max_num_batched_tokens=chosen.batched,
        utilization=utilization,
        memory_gib=min(node.gpu_memory_gib, utilization * node.gpu_memory_gib + memory.graphs_gib),
        total_gib=node.gpu_memory_gib,
        warnings=_shortened(model, context or chosen.longest, context),
    )


def _shortened(model: ModelFacts, served: int, context: int | None) -> tuple[str, ...]:
    """Whoever did not ask for a context must hear when it is less than the model's."""
    if context is not None or served == model.context:
        return ()
    return (f"{model.name} could read {model.context} tokens; the memory there holds a context of {served}.",)


def _on_cpu(model: ModelFacts, machine: Machine, context: int | None) -> Sizing | DoesNotFit:
    if model.quantization in _GPU_ONLY:
        return DoesNotFit(reason=f"{model.id} has {model.quantization} weights, which vLLM runs on GPUs only.")
    longest = context or min(LEAST_CONTEXT, model.context)
    widening = 1 if model.quantization else CPU_WIDENING
    per_token = model.kv_bytes_per_token * widening
    cache = _cpu_cache_gib(longest, per_token)
    weights = weights_gib(model, Split()) * widening
    needed = weights + cache + CPU_RUNTIME_GIB
    if needed > machine.memory_gib:
        return DoesNotFit(
            reason=f"{model.id} needs {needed:.1f} GiB of memory without a GPU ({weights:.1f} for the weights, "
            f"{cache} for a context of {longest} tokens, {CPU_RUNTIME_GIB} for vLLM), and {machine.memory_gib:.1f} "
            "are there."
        )
    return Sizing(
        dtype=dtype_on(model, machine),
        weights_gib=weights,
        activation_gib=CPU_RUNTIME_GIB,
        kv_cache_gib=cache,
        kv_bytes_per_token=per_token,
        kv_tokens=kv_tokens(cache, per_token),
        max_model_len=longest,
        memory_gib=needed,
        total_gib=machine.memory_gib,
    )


def _cpu_cache_gib(tokens: int, bytes_per_token: int) -> int:
    """Whole GiB, since VLLM_CPU_KVCACHE_SPACE takes no fractions."""
    return max(CPU_CACHE_GIB, ceil(tokens * bytes_per_token / SAFE_SHARE / GIB))


def _too_old(model: ModelFacts, node: Machine) -> str | None:
    least = _LEAST_CAPABILITY.get(model.quantization or "", 0.0)
    capability = node.cuda_compute_capability
    if capability is None or capability >= least:
        return None
    return (
        f"{model.id} has {model.quantization} weights, for which vLLM needs GPUs of compute capability {least} or "
        f"newer, and these have {capability}."
    )


def _why_not(model: ModelFacts, node: Machine, last: _Candidate, needed: int, utilization: float) -> str:
    split, memory = last.split, last.memory
    count = split.nodes * node.gpus
    gpus = f"{count} GPUs" if count > 1 else "one GPU"
    return (
        f"{model.id} does not fit {gpus} of {node.gpu_memory_gib:.1f} GiB on {split.nodes} node"
        f"{'s' if split.nodes > 1 else ''}: of the {utilization * node.gpu_memory_gib:.1f} GiB that vLLM may use of "
        f"each, weights take {memory.weights_gib:.1f} and its work "
        f"{memory.activation_gib + memory.non_torch_gib:.1f}, which leaves room for {last.longest} tokens, "
        f"and at least {needed} are needed."
    )
