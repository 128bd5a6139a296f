"""Compares what the engine measured at its start with what was planned for it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from pydantic import Field

from services.contracts.base import Contract
from services.contracts.performance import Metric, Performance
from services.contracts.plan import Prediction


class EngineMemory(Contract):
    """What the inference server tells: GiB of the fullest GPU, and tokens; None for what was not measured."""

    model_config = Contract.model_config | {"alias_generator": None}

    weights_gib: float | None = Field(default=None, ge=0, le=1e6)
    activation_gib: float | None = Field(default=None, ge=0, le=1e6)
    non_torch_gib: float | None = Field(default=None, ge=0, le=1e6)
    graphs_gib: float | None = Field(default=None, ge=0, le=1e6)
    kv_cache_gib: float | None = Field(default=None, ge=0, le=1e6)
    kv_tokens: int | None = Field(default=None, ge=0, le=10**12)


class Part(StrEnum):
    """A part of the memory, by its name in `status.performance`."""

    WEIGHTS = "weightsMemory"
    ACTIVATION = "activationMemory"
    NON_TORCH = "nonTorchMemory"
    GRAPHS = "cudaGraphsMemory"
    KV_CACHE = "kvCacheMemory"
    KV_TOKENS = "kvCacheTokens"


_WORDS = {
    Part.WEIGHTS: "Weights on the fullest GPU.",
    Part.ACTIVATION: "Peak of a step on the fullest GPU.",
    Part.NON_TORCH: "CUDA, NCCL and other libraries on the fullest GPU.",
    Part.GRAPHS: "CUDA graphs on the fullest GPU.",
    Part.KV_CACHE: "Key-value cache of the GPU that has least.",
    Part.KV_TOKENS: "Tokens that the key-value cache of one replica holds.",
}


class Compared(NamedTuple):
    """One part: what was measured, and what was planned where that is known."""

    part: Part
    measured: float
    planned: float | None

    @property
    def error(self) -> float | None:
        """How far the plan was off, as a share of what was measured: below zero it promised too little."""
        if self.planned is None or not self.measured:
            return None
        return (self.planned - self.measured) / self.measured


def compare(memory: EngineMemory, prediction: Prediction | None) -> Iterator[Compared]:
    """Each part that was measured. On a machine without GPUs the engine does not measure all."""
    planned = prediction.model_dump() if prediction else {}
    for part, name in zip(Part, EngineMemory.model_fields, strict=True):
        measured = getattr(memory, name)
        if measured is not None:
            yield Compared(part, float(measured), planned.get(name))


def performance(memory: EngineMemory, prediction: Prediction | None) -> Performance | None:
    """The figures for the status; None where nothing was measured."""
    metrics = {str(found.part): _metric(found) for found in compare(memory, prediction)}
    return Performance(metrics=metrics) if metrics else None


def _metric(found: Compared) -> Metric:
    unit = "tokens" if found.part is Part.KV_TOKENS else "GiB"
    config: dict[str, str] = {}
    if found.planned is not None:
        config["planned"] = f"{found.planned:.{0 if unit == 'tokens' else 2}f}"
    if found.error is not None:
        config["error"] = f"{found.error:+.1%}"
    value = f"{found.measured:.{0 if unit == 'tokens' else 2}f}"
    return Metric(description=_WORDS[found.part], value=value, unit=unit, config=config or None)
