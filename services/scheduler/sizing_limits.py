"""The settings of the engine on which its memory depends, each chosen with its reason. Pure."""

from __future__ import annotations

from services.scheduler.chosen import Chosen
from services.scheduler.facts import ModelFacts
from services.scheduler.memory_settings import LARGE_SEQUENCES, SEQUENCES, EngineLimits
from services.scheduler.modes import Mode
from services.scheduler.sizing_types import Machine, Wish

UTILIZATION = 0.9
"""Share of a GPU's memory that vLLM may plan with. It is passed to vLLM, whose own default moves between releases."""
LONG_STEP, SHORT_STEP = 8192, 2048
"""Tokens that vLLM computes in one step: the long one on Hopper or newer with `LARGE_GPU_GIB`, else the short one."""
LARGE_GPU_GIB, HOPPER = 70, 9.0
_YOURS = "You set it in the ConfigMap."


def dtype_on(model: ModelFacts, machine: Machine) -> Chosen[str]:
    """What vLLM computes in: float32 without a GPU, float16 on GPUs older than Ampere, which lack bfloat16."""
    capability = machine.cuda_compute_capability
    if not machine.gpus and not model.quantization:
        return Chosen("float32", "There is no GPU, and on a CPU bfloat16's rounding was seen to change an answer.")
    if machine.gpus and capability is not None and capability < 8.0:
        return Chosen("float16", f"GPUs of compute capability {capability:g} have no bfloat16: it came with 8.0.")
    if model.quantization:
        return Chosen("auto", f"The checkpoint has {model.quantization} weights and says itself what goes with them.")
    return Chosen("bfloat16", "GPUs since compute capability 8.0 have it, and it is what models are trained in.")


def limits_of(model: ModelFacts, node: Machine, wish: Wish, batched: int) -> EngineLimits:
    """The limits with steps of so many tokens."""
    return EngineLimits(
        utilization=_utilization(wish).value,
        batched=batched,
        sequences=_sequences(node, wish).value,
        cache_dtype=wish.cache_dtype or model.flags.get("kv-cache-dtype", "auto"),
        eager=wish.eager,
        adapters=wish.adapters,
        adapter_rank=wish.adapter_rank,
        fine_graphs=wish.mode is Mode.INTERACTIVITY,
    )


def reasons_of(model: ModelFacts, node: Machine, wish: Wish, limits: EngineLimits) -> dict[str, str]:
    """Why the limits are as they are, by the names of their flags."""
    return {
        "dtype": dtype_on(model, node).why,
        "gpu-memory-utilization": _utilization(wish).why,
        "max-num-seqs": _sequences(node, wish).why,
        "max-num-batched-tokens": next(step.why for step in steps_on(node, wish) if step.value == limits.batched),
    }


def steps_on(node: Machine, wish: Wish) -> tuple[Chosen[int], ...]:
    """Tokens that vLLM computes in one step, as its API server sets it by default; then fewer, to leave more cache."""
    if wish.batched:
        return (Chosen(wish.batched, _YOURS),)
    usual = (LONG_STEP, SHORT_STEP) if _large(node) else (SHORT_STEP,)
    first = usual[0] * _growth(wish)
    fewer = [step for step in usual if step < first]
    why_fewer = f"A step of {first} tokens would leave too little memory for the cache."
    return (Chosen(first, _as_by_default(node, wish)), *(Chosen(step, why_fewer) for step in fewer))


def _utilization(wish: Wish) -> Chosen[float]:
    if wish.utilization:
        return Chosen(wish.utilization, _YOURS)
    return Chosen(UTILIZATION, "The memory is planned with it, and vLLM's own default moves between releases.")


def _sequences(node: Machine, wish: Wish) -> Chosen[int]:
    """Requests that the engine runs at once."""
    if wish.sequences:
        return Chosen(wish.sequences, _YOURS)
    usual = (LARGE_SEQUENCES if _large(node) else SEQUENCES) * _growth(wish)
    if wish.concurrency and wish.concurrency > usual:
        return Chosen(wish.concurrency, "The annotation kaito.sh/concurrency asks for so many at once.")
    return Chosen(usual, _as_by_default(node, wish))


def _as_by_default(node: Machine, wish: Wish) -> str:
    kind = f"GPUs since Hopper with {LARGE_GPU_GIB} GiB" if _large(node) else "smaller GPUs, or those before Hopper"
    doubled = ", doubled by mode throughput" if _growth(wish) > 1 else ""
    return f"vLLM's default for {kind}{doubled}; it is fixed because memory depends on it."


def _growth(wish: Wish) -> int:
    return wish.mode.growth if wish.mode else 1


def _large(node: Machine) -> bool:
    return node.gpu_memory_gib >= LARGE_GPU_GIB and (node.cuda_compute_capability or 0) >= HOPPER
