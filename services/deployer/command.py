"""The command line of the inference container, from the plan alone. The same plan gives the same line. Pure.

Each flag and environment variable is made with its reason: the plan's own where the plan decided it, else ours.
"""

from __future__ import annotations

from typing import NamedTuple

from services.contracts.plan import Engine, PlannedModel, Runtime
from services.deployer.weights import MODEL

PORT = 5000
"""The port that the container listens on, as in KAITO."""

COMMAND = "kaitobus-inference"
"""vLLM's OpenAI server with the routes of services/inference; on PATH in the image."""
COMMANDS = {Runtime.VLLM: COMMAND, Runtime.TRANSFORMERS: "kaitobus-transformers"}

NOT_TOLD = "The plan was made by an earlier version, which did not tell why."


class Setting(NamedTuple):
    """A flag (without dashes; an empty value is a switch) or an environment variable, and why it is as it is."""

    name: str
    value: str
    why: str


QUIET = Setting(
    "disable-access-log-for-endpoints",
    "/health,/metrics,/adapters,/kaitobus/benchmark",
    "They would hide all else in the log.",
)


def flags(model: PlannedModel, engine: Engine, otlp_endpoint: str | None = None) -> list[Setting]:
    """The flags of vLLM: the ones that every model has, then the plan's own by name. transformers has fewer."""
    vllm = engine.runtime is Runtime.VLLM
    found = [*_every_model(model), *_of_plan(engine), *([QUIET] if vllm else []), *_revision(model)]
    if otlp_endpoint and vllm:
        address = f"{otlp_endpoint.rstrip('/')}/v1/traces"
        found.append(Setting("otlp-traces-endpoint", address, "The deployer's own traces go there, too."))
    merged = {setting.name: setting for setting in found}
    for name, value in sorted(engine.flags.items()):
        merged[name] = Setting(name, value, engine.reasons.get(name, NOT_TOLD))
    return list(merged.values())


def arguments(model: PlannedModel, engine: Engine, otlp_endpoint: str | None = None) -> list[str]:
    """The flags as the container gets them."""
    return [_word(setting) for setting in flags(model, engine, otlp_endpoint)]


def _every_model(model: PlannedModel) -> list[Setting]:
    where = "The init container puts the files there." if model.source else "It is the preset's id on the hub."
    return [
        Setting("model", MODEL if model.source else model.id, where),
        Setting("served-model-name", model.name, "Clients call it by the preset's short name, as in KAITO."),
        Setting("host", "0.0.0.0", "A pod is reached at its own address."),  # noqa: S104
        Setting("port", str(PORT), "The Service leads to it, as in KAITO."),
    ]


def _of_plan(engine: Engine) -> list[Setting]:
    values = {"dtype": engine.dtype}
    if engine.runtime is Runtime.VLLM:
        values |= {
            "tensor-parallel-size": str(engine.tensor_parallel),
            "pipeline-parallel-size": str(engine.pipeline_parallel),
            "data-parallel-size": str(engine.data_parallel),
        }
    if engine.max_model_len:
        values["max-model-len"] = str(engine.max_model_len)
    if engine.gpu_memory_utilization:
        values["gpu-memory-utilization"] = f"{engine.gpu_memory_utilization:g}"
    return [Setting(name, value, engine.reasons.get(name, NOT_TOLD)) for name, value in values.items()]


def _revision(model: PlannedModel) -> list[Setting]:
    if not model.revision or model.source:
        return []
    return [Setting("revision", model.revision, "Pinned when first planned: all replicas and restarts serve this one.")]


def _word(setting: Setting) -> str:
    """One flag. `--name=value` keeps a value that begins with a dash apart."""
    return f"--{setting.name}={setting.value}" if setting.value else f"--{setting.name}"
