"""What the user asks of the engine: from the ConfigMap's settings and the Workspace's annotations. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from services.contracts.workspace import (
    ANNOTATION_CONCURRENCY,
    ANNOTATION_MAX_MODEL_LEN,
    ANNOTATION_PERFORMANCE_MODE,
)
from services.scheduler.engine_config import BadConfig, EngineConfig
from services.scheduler.modes import Mode
from services.scheduler.sizing_types import Wish

MOST_REQUESTS = 65_536
"""No engine runs more requests at once."""
MOST_ADAPTERS = 256
LONGEST_NUMBER = 9
"""Digits of the largest number that is read."""


def read_wish(config: EngineConfig, annotations: Mapping[str, str], adapters: int) -> Wish:
    """The wish. Raises BadConfig with a sentence for the user; `adapters` are those that the Workspace names."""
    flags = config.flags
    asked = adapters or int("enable-lora" in flags)
    return Wish(
        context=_context(config, annotations),
        concurrency=_annotation(annotations, ANNOTATION_CONCURRENCY, MOST_REQUESTS),
        utilization=config.gpu_memory_utilization,
        batched=_flag(flags, "max-num-batched-tokens", 10**7),
        sequences=_flag(flags, "max-num-seqs", MOST_REQUESTS),
        cache_dtype=flags.get("kv-cache-dtype"),
        quantization=flags.get("quantization"),
        mode=_mode(flags, annotations),
        eager="enforce-eager" in flags,
        adapters=max(asked, _flag(flags, "max-loras", MOST_ADAPTERS) or 0) if asked else 0,
        adapter_rank=_flag(flags, "max-lora-rank", 512) or 16,
    )


def _context(config: EngineConfig, annotations: Mapping[str, str]) -> int | None:
    """The context of the config or of the annotation; they must not contradict each other."""
    annotated = _annotation(annotations, ANNOTATION_MAX_MODEL_LEN, 10**9)
    if annotated and config.max_model_len and annotated != config.max_model_len:
        raise BadConfig(
            f"vllm.max-model-len is {config.max_model_len}, and the annotation {ANNOTATION_MAX_MODEL_LEN} says "
            f"{annotated}: remove one of them."
        )
    return config.max_model_len or annotated


def _mode(flags: Mapping[str, str], annotations: Mapping[str, str]) -> Mode | None:
    """The mode of the config or of the annotation; they must not contradict each other."""
    configured, annotated = flags.get("performance-mode"), annotations.get(ANNOTATION_PERFORMANCE_MODE)
    if configured and annotated and configured != annotated:
        raise BadConfig(
            f"vllm.performance-mode is {configured}, and the annotation {ANNOTATION_PERFORMANCE_MODE} says "
            f"{annotated}: remove one of them."
        )
    named = configured or annotated
    if named is not None and named not in set(Mode):
        raise BadConfig(f"The performance mode must be one of {', '.join(Mode)}; it is {named[:40]!r}.")
    return Mode(named) if named else None


def _annotation(annotations: Mapping[str, str], name: str, most: int) -> int | None:
    text = annotations.get(name)
    return None if text is None else _number(f"the annotation {name}", text.strip(), most)


def _flag(flags: Mapping[str, str], name: str, most: int) -> int | None:
    text = flags.get(name)
    return None if text is None else _number(f"vllm.{name}", text, most)


def _number(what: str, text: str, most: int) -> int:
    if text.isascii() and text.isdecimal() and len(text) <= LONGEST_NUMBER and 0 < int(text) <= most:
        return int(text)
    raise BadConfig(f"{what} must be a whole number from 1 to {most}; it is {text[:40]!r}.")
