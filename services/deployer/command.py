"""The command line of the inference container, from the plan alone. The same plan gives the same line. Pure."""

from __future__ import annotations

from services.contracts.plan import Engine, PlannedModel
from services.deployer.weights import MODEL

PORT = 5000
"""The port that the container listens on, as in KAITO."""

COMMAND = "kaitobus-inference"
"""vLLM's OpenAI server with the routes of services/inference; on PATH in the image."""


def arguments(model: PlannedModel, engine: Engine) -> list[str]:
    """The flags of vLLM: the ones that every model has, then the plan's own by name."""
    flags = {
        "model": MODEL if model.source else model.id,
        "served-model-name": model.name,
        "host": "0.0.0.0",  # noqa: S104 - a pod is reached at its own address
        "port": str(PORT),
        "dtype": engine.dtype,
        "tensor-parallel-size": str(engine.tensor_parallel),
        "pipeline-parallel-size": str(engine.pipeline_parallel),
        "data-parallel-size": str(engine.data_parallel),
        "disable-access-log-for-endpoints": "/health,/metrics",  # the probes would hide all else in the log
    }
    if model.revision and not model.source:
        flags["revision"] = model.revision
    if engine.max_model_len:
        flags["max-model-len"] = str(engine.max_model_len)
    if engine.gpu_memory_utilization:
        flags["gpu-memory-utilization"] = f"{engine.gpu_memory_utilization:g}"
    return [word for name, value in (flags | dict(sorted(engine.flags.items()))).items() for word in _flag(name, value)]


def _flag(name: str, value: str) -> list[str]:
    """One flag; an empty value is a switch. `--name=value` keeps a value that begins with a dash apart."""
    return [f"--{name}={value}"] if value else [f"--{name}"]
