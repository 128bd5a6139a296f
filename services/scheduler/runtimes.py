"""Which server answers: vLLM, or transformers' own `generate` for models that vLLM lacks. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from services.contracts.plan import Runtime
from services.contracts.workspace import ANNOTATION_CONCURRENCY, ANNOTATION_PERFORMANCE_MODE, ANNOTATION_RUNTIME
from services.scheduler.engine_config import BadConfig, EngineConfig
from services.scheduler.facts import ModelFacts
from services.scheduler.modes import Mode
from services.scheduler.sizing_types import Wish

TAKES = frozenset({"dtype", "trust-remote-code"})
"""Flags of the ConfigMap that the transformers runtime has, beside max-model-len."""
DTYPES = ("auto", "float32", "float16", "bfloat16")
SET_IT = f"transformers itself knows it: set the annotation {ANNOTATION_RUNTIME}: transformers."


class BadRuntime(Exception):
    """What the Workspace asks of its runtime cannot be had; the message says what to change."""


def read_runtime(annotations: Mapping[str, str]) -> Runtime:
    """The runtime that the annotation names. Raises BadRuntime for one that is none."""
    named = annotations.get(ANNOTATION_RUNTIME, Runtime.VLLM)
    if named not in set(Runtime):
        raise BadRuntime(f"Annotation {ANNOTATION_RUNTIME} must be one of {', '.join(Runtime)}; it is {named[:40]!r}.")
    return Runtime(named)


def check_model(model: ModelFacts, runtime: Runtime) -> None:
    """See that the runtime can serve the model. Raises BadRuntime."""
    if runtime is Runtime.VLLM:
        if model.vllm_lacks:
            raise BadRuntime(model.vllm_lacks)
    elif not model.transformers:
        raise BadRuntime(f"{model.id} is not known to serve with transformers. {_back()}")
    elif model.quantization:
        raise BadRuntime(
            f"{model.id} has {model.quantization} weights, and the transformers runtime serves weights of 16 or 32 "
            f"bits only. {_back()}"
        )


def check_adapters(model: ModelFacts, wish: Wish) -> None:
    """See that vLLM takes adapters for the model, where any are wanted: else it would not start. Raises BadRuntime."""
    if wish.adapters and not model.lora:
        raise BadRuntime(
            f"vLLM takes no LoRA adapters for models of the architecture {model.architecture}, and would not start "
            f"with any for {model.id}: remove inference.adapters and vllm.enable-lora, or serve a model into which the "
            "adapter has been merged."
        )


def transformers_wish(config: EngineConfig, wish: Wish, annotations: Mapping[str, str], adapters: int) -> Wish:
    """What is asked of the transformers runtime. Raises BadRuntime, or BadConfig for the ConfigMap."""
    for because in _impossible(config, wish, annotations, adapters):
        raise because
    return Wish(context=wish.context, dtype=config.flags.get("dtype"), runtime=Runtime.TRANSFORMERS)


def _impossible(
    config: EngineConfig, wish: Wish, annotations: Mapping[str, str], adapters: int
) -> Iterator[BadRuntime | BadConfig]:
    """Why it cannot be had, the most telling reason first."""
    if adapters:
        yield BadRuntime(f"Adapters are served with vLLM only: remove inference.adapters. {_back()}")
    mode = annotations.get(ANNOTATION_PERFORMANCE_MODE, Mode.BALANCED)
    if mode != Mode.BALANCED:
        yield BadRuntime(f"Annotation {ANNOTATION_PERFORMANCE_MODE}: {mode} is for vLLM only: remove it. {_back()}")
    if (wish.concurrency or 1) > 1:
        yield BadRuntime(
            f"The transformers runtime answers one request at a time: remove the annotation {ANNOTATION_CONCURRENCY}. "
            f"{_back()}"
        )
    others = sorted(config.flags.keys() - TAKES)
    if config.gpu_memory_utilization:
        others.append("gpu-memory-utilization")
    if others:
        yield BadConfig(
            f"vllm.{', vllm.'.join(others)}: the transformers runtime takes max-model-len, {', '.join(sorted(TAKES))} "
            f"only. Remove the others. {_back()}"
        )
    dtype = config.flags.get("dtype", "auto")
    if dtype not in DTYPES:
        yield BadConfig(f"vllm.dtype must be one of {', '.join(DTYPES)}; it is {dtype[:40]!r}.")


def _back() -> str:
    return f"Or remove the annotation {ANNOTATION_RUNTIME} to serve it with vLLM."
