"""Sizing on a machine without a GPU. Pure."""

from __future__ import annotations

from math import ceil

from services.scheduler.chosen import Chosen
from services.scheduler.facts import ModelFacts
from services.scheduler.memory import GIB
from services.scheduler.memory_cache import layout
from services.scheduler.sizing_gpu import GPU_ONLY, LEAST_CONTEXT, SAFE_SHARE
from services.scheduler.sizing_limits import dtype_on
from services.scheduler.sizing_types import DoesNotFit, Machine, Sizing, Wish
from services.scheduler.split import Split

STEP = 2048
"""Tokens that vLLM computes in one step on a CPU."""
CPU_CACHE_GIB = 1
"""Least cache on a machine without a GPU (VLLM_CPU_KVCACHE_SPACE)."""
CPU_RUNTIME_GIB = 2.4
"""vLLM's three Python processes without weights and cache; measured 1.8 to 2.1 with a model of 135 M parameters."""
CPU_WIDENING = 2
"""On a CPU vLLM computes in float32, and so do 16-bit weights and cache take twice their size. In bfloat16 its
rounding was seen to change the answer of a small model: to a question with one right answer it gave another."""


def on_cpu(model: ModelFacts, machine: Machine, wish: Wish) -> Sizing | DoesNotFit:
    """One process on one machine; weights, cache and the runtime must fit its memory."""
    if model.quantization in GPU_ONLY:
        return DoesNotFit(reason=f"{model.id} has {model.quantization} weights, which vLLM runs on GPUs only.")
    longest, requests = _context(model, wish).value, wish.concurrency or 1
    widening = 1 if model.quantization else CPU_WIDENING
    cut = layout(model.shapes, Split(), "auto", STEP)
    cache = _cache_gib(requests * cut.blocks(longest) * cut.block_bytes * widening)
    weights = model.weights_gib * widening
    needed = weights + cache + CPU_RUNTIME_GIB
    if needed > machine.memory_gib:
        return DoesNotFit(
            reason=f"{model.id} needs {needed:.1f} GiB of memory without a GPU ({weights:.1f} for the weights, "
            f"{cache} for a context of {longest} tokens, {CPU_RUNTIME_GIB} for vLLM), and {machine.memory_gib:.1f} "
            "are there."
        )
    tokens = cut.tokens(cache * GIB / widening, longest)
    return Sizing(
        dtype=dtype_on(model, machine).value,
        weights_gib=weights,
        activation_gib=CPU_RUNTIME_GIB,
        kv_cache_gib=cache,
        kv_bytes_per_token=cut.bytes_per_token(longest) * widening,
        kv_tokens=tokens,
        max_model_len=longest,
        concurrency=tokens / longest,
        memory_gib=needed,
        total_gib=machine.memory_gib,
        reasons=_reasons(model, machine, wish, requests),
    )


def _context(model: ModelFacts, wish: Wish) -> Chosen[int]:
    if wish.context:
        return Chosen(wish.context, "You asked for it (ConfigMap, or annotation kaito.sh/max-model-len).")
    if model.context <= LEAST_CONTEXT:
        return Chosen(model.context, "All that the model can read.")
    return Chosen(LEAST_CONTEXT, f"Without a GPU longer requests are slow; ask for up to {model.context} if you want.")


def _reasons(model: ModelFacts, machine: Machine, wish: Wish, requests: int) -> dict[str, str]:
    alone = "Without a GPU one process serves the model."
    often = f"{requests} requests of the whole context" if requests > 1 else "one request of the whole context"
    return {
        "dtype": dtype_on(model, machine).why,
        "max-model-len": _context(model, wish).why,
        "tensor-parallel-size": alone,
        "pipeline-parallel-size": alone,
        "data-parallel-size": alone,
        "VLLM_CPU_KVCACHE_SPACE": f"Whole GiB of cache, by the memory model enough for {often}.",
    }


def _cache_gib(needed: int) -> int:
    """Whole GiB, since VLLM_CPU_KVCACHE_SPACE takes no fractions."""
    return max(CPU_CACHE_GIB, ceil(needed / SAFE_SHARE / GIB))
