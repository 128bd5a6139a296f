"""Settings of the engine that the memory model does not know: what is said of them, and what is refused. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from services.contracts.workspace import CONFIG_KEY_INFERENCE
from services.scheduler.engine_config import BadConfig, EngineConfig

CACHE_DTYPES = ("auto", "float16", "bfloat16", "fp8", "fp8_e4m3", "fp8_e5m2", "fp8_ds_mla", "fp8_inc")
"""Types of the cache whose size is known."""
NO_CHUNKS = "no-enable-chunked-prefill"
_GRAPHS = "CUDA graphs are planned as vLLM records them by default"
_NOT_COUNTED = {
    "speculative-config": "the draft's weights and cache are not in the plan, and come off the tokens that it promises",
    "hf-overrides": "the model is planned as its config.json tells, without what is overridden",
    "rope-scaling": "the model is planned as its config.json tells, without what is overridden",
    "cpu-offload-gb": "all weights are planned on the GPU, so the plan may take more GPUs than it needs",
    "block-size": "the cache is planned in blocks of vLLM's own size, so its tokens may be a few less",
    "kv-cache-memory-bytes": "vLLM then gives the cache this much, whatever is planned for it",
    "num-gpu-blocks-override": "vLLM then makes so many blocks of cache, whatever is planned for it",
    "compilation-config": _GRAPHS,
    "cuda-graph-sizes": _GRAPHS,
    "cudagraph-capture-sizes": _GRAPHS,
    "max-cudagraph-capture-size": _GRAPHS,
    "decode-context-parallel-size": "the cache is planned as if it were not dealt out so",
}
"""What is not in the plan, by the flag that changes it."""


def check_settings(config: EngineConfig) -> None:
    """Refuse what the engine would not start with, or what cannot be sized. Raises BadConfig."""
    dtype = config.flags.get("kv-cache-dtype")
    if dtype is not None and dtype not in CACHE_DTYPES:
        raise BadConfig(
            f"{CONFIG_KEY_INFERENCE}: vllm.kv-cache-dtype is {dtype[:40]!r}; this version plans "
            f"{', '.join(CACHE_DTYPES)}."
        )
    if NO_CHUNKS in config.flags:
        _whole_prompts(config)


def unplanned(config: EngineConfig) -> Iterator[str]:
    """A sentence for each setting that the plan does not count."""
    for flag, words in _NOT_COUNTED.items():
        if flag in config.flags:
            yield f"You set {flag}: {words}."


def _whole_prompts(config: EngineConfig) -> None:
    """Without chunks a prompt is computed in one step, so the longest must fit a step."""
    step = config.flags.get("max-num-batched-tokens", "")
    length = config.max_model_len
    if length and step.isdecimal() and int(step) >= length:
        return
    raise BadConfig(
        f"{CONFIG_KEY_INFERENCE}: with vllm.enable-chunked-prefill: false a whole prompt is one step. Set "
        "max-model-len, and max-num-batched-tokens to at least as much, or remove it."
    )
