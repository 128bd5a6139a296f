"""Sizing for the transformers runtime: one request at a time, on the GPUs of one node or on a CPU. Pure.

Reckoned on the safe side, from how `generate` works (docs/performance.md has what an H200 took): a whole prompt is
computed at once, its logits included, keys and values are kept as they come, and grow by being copied. Where one GPU
does not hold the model, whole layers are dealt out (accelerate's `device_map`), so that one GPU works at a time.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from services.scheduler.chosen import Chosen
from services.scheduler.facts import ModelFacts
from services.scheduler.memory_cache import state_bytes
from services.scheduler.parallelism import powers_of_two
from services.scheduler.shapes import Mixer, Shapes
from services.scheduler.sizing_types import DoesNotFit, Machine, Sizing, Wish

GIB = 2**30
USABLE = 0.9
"""Of a device's memory; the rest is for what the allocator leaves unused between tensors."""
GPU_RUNTIME_GIB = 1.0
"""CUDA's context and the kernels' workspaces."""
CPU_RUNTIME_GIB = 1.5
"""Python, PyTorch and transformers; measured 0.5, and 0.7 at most, beside the weights of 135 M parameters."""
LEAST_CONTEXT, USUAL_CONTEXT = 512, 8192
"""Fewer tokens are of no use; more must be asked for, since a prompt is computed at once."""
GROWTH = 1.25
"""Keys and values of a layer are copied as they grow."""


class _Fit(NamedTuple):
    """What the fullest of some devices holds, in bytes, for requests of `length` tokens."""

    gpus: int
    weights: float
    token: float
    """Of keys and values, for each token of a request."""
    step: float
    """Of the computation, for each token of a prompt."""
    fixed: float

    def total(self, length: int) -> float:
        return self.weights + self.fixed + length * (self.token + self.step)


def with_transformers(model: ModelFacts, node: Machine, wish: Wish) -> Sizing | DoesNotFit:
    """The fewest GPUs of one node, or its CPU, that answer a request of the length that is wished for."""
    dtype = _dtype(node, wish)
    width = 4 if dtype.value == "float32" else 2
    context = _context(model, wish)
    needed = wish.context or min(LEAST_CONTEXT, model.context)
    total = node.gpu_memory_gib if node.gpus else node.memory_gib
    fits = [_fit(model, gpus, width, on_gpu=bool(node.gpus)) for gpus in powers_of_two(node.gpus) or [1]]
    for fit in fits:
        longest = _longest(fit, USABLE * total * GIB, context.value)
        if longest >= needed:
            return _sizing(model, node, fit, longest, dtype, context)
    return DoesNotFit(reason=_why_not(model, node, fits[-1], total, needed))


def _dtype(node: Machine, wish: Wish) -> Chosen[str]:
    if wish.dtype and wish.dtype != "auto":
        return Chosen(wish.dtype, "You set it in the ConfigMap.")
    if not node.gpus:
        return Chosen("float32", "There is no GPU, and on a CPU bfloat16's rounding was seen to change an answer.")
    if node.cuda_compute_capability is not None and node.cuda_compute_capability < 8.0:
        return Chosen("float16", "These GPUs have no bfloat16: it came with compute capability 8.0.")
    return Chosen("bfloat16", "GPUs since compute capability 8.0 have it, and it is what models are trained in.")


def _context(model: ModelFacts, wish: Wish) -> Chosen[int]:
    if wish.context:
        return Chosen(wish.context, "You asked for it (ConfigMap, or annotation kaito.sh/max-model-len).")
    if model.context <= USUAL_CONTEXT:
        return Chosen(model.context, "All that the model can read.")
    return Chosen(USUAL_CONTEXT, "Longer prompts are computed at once, in much memory: ask for more if you need it.")


def _fit(model: ModelFacts, gpus: int, width: int, *, on_gpu: bool) -> _Fit:
    """By layers: the fullest device has the most of them, and for safety's sake all tables as well."""
    shapes = model.shapes
    tables = shapes.vocab * shapes.hidden * width * (1 if shapes.tied else 2)
    weights = model.weights_gib * GIB * width / 2
    share = ceil(shapes.layers / gpus) / shapes.layers
    held = min(weights, max(0.0, weights - tables) * share + tables)
    return _Fit(
        gpus=gpus,
        weights=held,
        token=GROWTH * share * _kept_bytes(shapes, width),
        step=_step_bytes(shapes, width),
        fixed=(GPU_RUNTIME_GIB if on_gpu else CPU_RUNTIME_GIB) * GIB + _states(shapes),
    )


def _kept_bytes(shapes: Shapes, width: int) -> int:
    """Keys and values of a token in all layers. Windows are not counted on, and latent vectors are kept expanded."""
    heads = [found for found in (shapes.attention, shapes.wide) if found]
    each = max([h.kv_heads * (h.head_dim + h.value_dim) for h in heads], default=0)
    if shapes.latent and shapes.attention:
        latent = shapes.latent
        each = shapes.attention.heads * (latent.nope_dim + latent.rope_dim + latent.value_dim)
    return sum(mixer not in (Mixer.STATE, Mixer.NONE) for mixer in shapes.mixers) * each * width


def _step_bytes(shapes: Shapes, width: int) -> int:
    """The widest that a token of a prompt is: in an MLP, with its gate and what goes on; and its logits in 32 bits."""
    experts = shapes.experts
    inner = max(shapes.intermediate, experts.width * experts.chosen + experts.shared_width if experts else 0)
    return (3 * inner + 6 * shapes.hidden) * width + shapes.vocab * (width + 4)


def _states(shapes: Shapes) -> int:
    return shapes.layers * 2 * state_bytes(shapes.state, 1) if shapes.state else 0


def _longest(fit: _Fit, usable: float, most: int) -> int:
    left = usable - fit.weights - fit.fixed
    return max(0, min(most, int(left // (fit.token + fit.step))))


def _sizing(
    model: ModelFacts, node: Machine, fit: _Fit, longest: int, dtype: Chosen[str], context: Chosen[int]
) -> Sizing:
    gib = fit.total(longest) / GIB
    fitted = f"The longest that is sure to fit; the model could read {model.context}."
    shorter = f"{model.name} could read {model.context} tokens; {longest} are planned for the transformers runtime."
    told = longest < model.context and context.value != longest
    return Sizing(
        dtype=dtype.value,
        gpus_per_node=fit.gpus if node.gpus else 0,
        weights_gib=fit.weights / GIB,
        activation_gib=(fit.step * longest + fit.fixed) / GIB,
        kv_cache_gib=fit.token * longest / GIB,
        kv_bytes_per_token=int(fit.token),
        kv_tokens=longest,
        max_model_len=longest,
        concurrency=1,
        memory_gib=gib,
        total_gib=node.gpu_memory_gib if node.gpus else node.memory_gib,
        warnings=(_SLOW, *((shorter,) if told or context.value == USUAL_CONTEXT < model.context else ())),
        reasons={"dtype": dtype.why, "max-model-len": context.why if longest == context.value else fitted},
    )


_SLOW = "The transformers runtime answers one request at a time, and more slowly than vLLM: it is for what vLLM lacks."


def _why_not(model: ModelFacts, node: Machine, last: _Fit, total: float, needed: int) -> str:
    where = f"{last.gpus} GPU{'s' if last.gpus > 1 else ''} of {total:.1f} GiB" if node.gpus else f"{total:.1f} GiB"
    return (
        f"{model.id} does not fit {where} with the transformers runtime: for {needed} tokens the fullest would hold "
        f"{last.total(needed) / GIB:.1f} GiB, {last.weights / GIB:.1f} of them weights, and {USABLE * total:.1f} may "
        "be used. It serves on one node only."
    )
