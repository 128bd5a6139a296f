"""The engine settings of a plan: what sizing found, what the model needs, what the user set. Pure.

Each flag is made together with its reason, which goes into the plan beside it.
"""

from __future__ import annotations

from collections.abc import Mapping

from services.contracts.plan import Engine, Runtime
from services.scheduler.chosen import Chosen
from services.scheduler.engine_config import EngineConfig
from services.scheduler.facts import ModelFacts
from services.scheduler.modes import Mode
from services.scheduler.sizing import Sizing

Flags = Mapping[str, Chosen[str]]
"""Flags by name, without dashes; an empty value is a switch."""
FIELDS = ("dtype", "max-model-len", "tensor-parallel-size", "pipeline-parallel-size", "data-parallel-size")
"""Flags that every plan has, as fields of its engine."""
UTILIZATION = "gpu-memory-utilization"
CPU_CACHE = "VLLM_CPU_KVCACHE_SPACE"


def engine_settings(
    model: ModelFacts, config: EngineConfig, sizing: Sizing, *, on_cpu: bool, mode: Mode | None = None
) -> Engine:
    """The settings with their reasons; a flag that the user set wins over ours."""
    ours = {**model_flags(model), **_sized(sizing), **_mode(mode, config, on_cpu), **_cpu(on_cpu)}
    flags = _yours(config, ours, sizing.dtype)
    fields = [*FIELDS, CPU_CACHE if on_cpu else UTILIZATION]
    return Engine(
        dtype=sizing.dtype,
        max_model_len=sizing.max_model_len,
        tensor_parallel=sizing.tensor_parallel,
        pipeline_parallel=sizing.pipeline_parallel,
        data_parallel=sizing.data_parallel,
        gpu_memory_utilization=None if on_cpu else sizing.utilization,
        flags={name: chosen.value for name, chosen in flags.items()},
        env={CPU_CACHE: f"{sizing.kv_cache_gib:.0f}"} if on_cpu else {},
        reasons={name: sizing.reasons[name] for name in fields} | {name: chosen.why for name, chosen in flags.items()},
    )


def transformers_settings(config: EngineConfig, sizing: Sizing) -> Engine:
    """The settings of the transformers runtime, which has few."""
    code = "trust-remote-code"
    trusts = code in config.flags
    return Engine(
        runtime=Runtime.TRANSFORMERS,
        dtype=sizing.dtype,
        max_model_len=sizing.max_model_len,
        flags={code: ""} if trusts else {},
        reasons=sizing.reasons | ({code: "You set it in the ConfigMap."} if trusts else {}),
    )


def model_flags(model: ModelFacts) -> Flags:
    """The flags that a model needs for its checkpoint's format, tool calls and reasoning."""
    entry = f"The catalogue has it for {model.name}."
    flags = {name: Chosen(value, model.flag_reasons.get(name, entry)) for name, value in model.flags.items()}
    if model.load_format == "mistral":
        why = "The checkpoint is in Mistral's own format."
        flags |= {name: Chosen("mistral", why) for name in ("load-format", "config-format", "tokenizer-mode")}
    if model.tool_call_parser:
        flags["tool-call-parser"] = Chosen(model.tool_call_parser, f"It is how {model.name} writes tool calls.")
        flags["enable-auto-tool-choice"] = Chosen("", "So that a request may leave it to the model to call a tool.")
    if model.reasoning_parser:
        why = f"It is how {model.name} marks its reasoning, which is told apart from the answer."
        flags["reasoning-parser"] = Chosen(model.reasoning_parser, why)
    return flags


def _sized(sizing: Sizing) -> Flags:
    """What sizing set, where it set it: on GPUs."""
    found = {
        "enable-expert-parallel": "" if sizing.expert_parallel else None,
        "max-num-seqs": sizing.max_num_seqs,
        "max-num-batched-tokens": sizing.max_num_batched_tokens,
    }
    return {name: Chosen(str(value), sizing.reasons[name]) for name, value in found.items() if value is not None}


def _mode(mode: Mode | None, config: EngineConfig, on_cpu: bool) -> Flags:
    """The user's mode. The balanced one is the engine's own, and said only where the user says it in the config."""
    if mode is None or mode is Mode.BALANCED:
        return {}
    graphs = not on_cpu and "enforce-eager" not in config.flags
    return {"performance-mode": Chosen(mode.value, mode.effect(graphs=graphs))}


def _cpu(on_cpu: bool) -> Flags:
    return {"enforce-eager": Chosen("", "On a CPU compiling takes longer than it saves.")} if on_cpu else {}


def _yours(config: EngineConfig, ours: Flags, dtype: str) -> dict[str, Chosen[str]]:
    """Ours, with what the user set in its place."""
    found = dict(ours)
    replaced = {"dtype": dtype} | {name: chosen.value for name, chosen in ours.items()}
    for name, value in config.flags.items():
        before = replaced.get(name)
        if before is None:
            found[name] = Chosen(value, "You set it in the ConfigMap.")
        elif before != value or name not in found:
            found[name] = Chosen(value, f"You set it in the ConfigMap; without that it would be {before or 'on'}.")
    return found
