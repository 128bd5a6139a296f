"""Models that bring their own code (`auto_map` in config.json), which the engine runs only if the user lets it. Pure.

It is code of others, and runs in the pod with the user's token: nobody but the user may choose it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from services.contracts.workspace import CONFIG_KEY_INFERENCE
from services.scheduler.engine_config import BadConfig, EngineConfig
from services.scheduler.facts import ModelFacts

TRUST = "trust-remote-code"


def brings_model_code(config: Mapping[str, object]) -> bool:
    """Whether the configuration names a class of the repository's own that answers with text."""
    named = config.get("auto_map")
    if not isinstance(named, dict):
        return False
    return any(isinstance(named.get(kind), str) for kind in ("AutoModelForCausalLM", "AutoModel"))


def needs_words(model: str, architecture: str, engine: str) -> str:
    """What whoever wants the model must know and set."""
    return (
        f"{model} has the architecture {architecture}, which {engine} does not have itself: it can only be loaded with "
        f"the Python code that its repository brings. That is code of others, and would run in your pod. If you trust "
        f"it, set `trust-remote-code: true` under vllm in {CONFIG_KEY_INFERENCE} of the ConfigMap that "
        "inference.config names; it works if the code is written for transformers' attention interface."
    )


def check_trust(model: ModelFacts, config: EngineConfig) -> None:
    """See that the user lets the model's code run where it is needed. Raises BadConfig."""
    if model.own_code and TRUST not in config.flags:
        raise BadConfig(model.own_code)


def trust_warnings(model: ModelFacts, config: EngineConfig) -> Iterator[str]:
    """What the user's choice means."""
    if TRUST not in config.flags:
        return
    if model.own_code:
        yield (
            f"You let {model.id}'s own code run ({TRUST}); its memory is reckoned as that of a plain model of its "
            "sizes, which the code need not keep to."
        )
    else:
        yield (
            f"You set {TRUST}: the code in {model.id}'s repository may run in your pod. vLLM has the architecture "
            "itself; remove it unless the tokenizer or the configuration needs it."
        )
