"""The engine settings of a plan: what sizing found, what the model needs, what the user set. Pure."""

from __future__ import annotations

from services.contracts.plan import Engine
from services.scheduler.engine_config import EngineConfig
from services.scheduler.facts import ModelFacts
from services.scheduler.lora import lora_flags
from services.scheduler.sizing import Sizing, Wish


def engine_settings(model: ModelFacts, config: EngineConfig, wish: Wish, sizing: Sizing, *, on_cpu: bool) -> Engine:
    """The settings; a flag that the user set wins over the model's own."""
    flags = model_flags(model)
    if on_cpu:
        flags["enforce-eager"] = ""  # compiling takes longer on a CPU than it saves
    if sizing.expert_parallel:
        flags["enable-expert-parallel"] = ""
    if sizing.max_num_seqs:
        flags["max-num-seqs"] = str(sizing.max_num_seqs)
    if sizing.max_num_batched_tokens:
        flags["max-num-batched-tokens"] = str(sizing.max_num_batched_tokens)
    return Engine(
        dtype=sizing.dtype,
        max_model_len=sizing.max_model_len,
        tensor_parallel=sizing.tensor_parallel,
        pipeline_parallel=sizing.pipeline_parallel,
        data_parallel=sizing.data_parallel,
        gpu_memory_utilization=None if on_cpu else sizing.utilization,
        flags=flags | lora_flags(wish) | config.flags,
        env={"VLLM_CPU_KVCACHE_SPACE": f"{sizing.kv_cache_gib:.0f}"} if on_cpu else {},
    )


def model_flags(model: ModelFacts) -> dict[str, str]:
    """The flags that a model needs for its checkpoint's format, tool calls and reasoning."""
    flags = dict(model.flags)
    if model.load_format == "mistral":
        flags |= {"load-format": "mistral", "config-format": "mistral", "tokenizer-mode": "mistral"}
    if model.tool_call_parser:
        flags |= {"tool-call-parser": model.tool_call_parser, "enable-auto-tool-choice": ""}
    if model.reasoning_parser:
        flags["reasoning-parser"] = model.reasoning_parser
    return flags
