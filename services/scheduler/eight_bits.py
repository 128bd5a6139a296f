"""Weights and cache in 8-bit floats (fp8) where the user asks for them: what it saves, costs and needs. Pure.

Nobody but the user chooses this: it changes what the model answers.
"""

from __future__ import annotations

from collections.abc import Iterator

from services.scheduler.config_quantization import named_quantization
from services.scheduler.facts import ModelFacts
from services.scheduler.memory_cache import ELEMENT_BYTES
from services.scheduler.memory_weights import stored_bytes
from services.scheduler.shapes import Shapes
from services.scheduler.sizing_types import Machine, Wish

FP8 = "fp8"
OLDEST = 8.9
"""The first GPUs (CUDA compute capability) that compute with 8-bit floats: Ada and Hopper."""


def refusal(model: ModelFacts, node: Machine, wish: Wish) -> str | None:
    """Why the user's choice cannot be had on such a machine, in a sentence; None if it can or there is none."""
    if wish.quantization == FP8 and model.quantization not in (None, FP8):
        return (
            f"{model.id} has {model.quantization} weights already, which cannot be turned into fp8: remove "
            "vllm.quantization."
        )
    for flag, value in (("quantization", wish.quantization), ("kv-cache-dtype", wish.cache_dtype)):
        if value is None or not value.startswith(FP8) or (flag == "quantization" and model.quantization == FP8):
            continue
        if not node.gpus:
            return f"vllm.{flag} is {value}, and 8-bit floats are planned on GPUs only: remove it."
        if (node.cuda_compute_capability or 0.0) < OLDEST:
            return (
                f"vllm.{flag} is {value}, and these GPUs have no 8-bit floats: that takes compute capability {OLDEST} "
                f"(Ada, Hopper or newer), and they have {node.cuda_compute_capability or 0.0:g}. Remove it, or name a "
                "newer GPU."
            )
    return None


def as_served(model: ModelFacts, wish: Wish) -> ModelFacts:
    """The model with the weights that the engine makes of it while it loads."""
    if wish.quantization != FP8 or model.quantization is not None:
        return model
    _, share = quantized(model.shapes, FP8)
    return ModelFacts.model_validate(
        model.model_dump() | {"on_load": FP8, "weights_gib": model.weights_gib * share},
    )


def quantized(shapes: Shapes, method: str) -> tuple[Shapes, float]:
    """The model with weights that the engine quantises itself, and their share of the stored size.

    Raises ValueError for a method whose size is not known.
    """
    found = named_quantization(method)
    if found is None:
        raise ValueError(f"how large weights are as {method[:40]} is not known")
    smaller = shapes.model_copy(update={"quantization": found})
    return smaller, stored_bytes(smaller) / stored_bytes(shapes)


def warnings(model: ModelFacts, wish: Wish) -> Iterator[str]:
    """What the user's choice costs, in terms of quality."""
    served = as_served(model, wish)
    if served is not model:
        yield (
            f"You chose fp8 weights: {served.weights_gib:.1f} GiB instead of {model.weights_gib:.1f}. Each keeps some "
            "two digits of its value, so answers change and may be worse. How much was not measured for this model: "
            "compare on your own questions first."
        )
    elif wish.quantization and wish.quantization != model.quantization:
        yield f"What vllm.quantization: {wish.quantization} saves is not known here: weights are planned as stored."
    if wish.cache_dtype and wish.cache_dtype not in ELEMENT_BYTES:
        yield (
            f"You chose a cache of {wish.cache_dtype}: it holds about twice the tokens. Keys and values keep some two "
            "digits, scaled by 1 unless the checkpoint brings better scales, so answers change and may be worse, the "
            "more so the longer the text. How much was not measured for this model: compare on your own questions "
            "first."
        )
