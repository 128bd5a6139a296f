"""Reads a training configuration as a user writes it: refuses by name what is not known, and says why. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Final, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from services.tuning.sections import Section, TuningConfig

ROOT: Final = "training_config"
"""KAITO's manifests have all sections under this key; they may also stand at the top."""
MOST_ERRORS: Final = 5
_ALIASES: Final = {"TrainingArguments": {"max_seq_length": "max_length", "evaluation_strategy": "eval_strategy"}}
"""Keys that the libraries have renamed."""
_WHY_NOT: Final = {
    "trust_remote_code": "code of a model's repository is not run",
    "use_dora": "the engine does not serve it",
    "modules_to_save": "the engine does not serve it",
    "bias": "the engine does not serve trained biases",
    "eval_strategy": "the loss on held-out data is measured once, at the end, on a freshly loaded model",
    "push_to_hub": "the result goes where tuning.output says",
    "hub_model_id": "the result goes where tuning.output says",
    "hub_token": "the result goes where tuning.output says, and no token belongs into a ConfigMap",
    "report_to": "progress is told in the Workspace's status and as metrics of the pod",
    "resume_from_checkpoint": "a run that was broken off goes on by itself",
    "deepspeed": "each GPU holds the whole model",
    "fsdp": "each GPU holds the whole model",
}


class BadTuning(Exception):
    """What the user set cannot be used; the message says what to change."""


def read_tuning(content: object, method: str) -> TuningConfig:
    """The configuration for a method, lora or qlora. `content` is what the YAML holds. Raises BadTuning."""
    sections = _sections(content)
    try:
        config = TuningConfig.model_validate(sections)
    except ValidationError as error:
        told = [_told(one) for one in error.errors()]
        more = f" And {len(told) - MOST_ERRORS} more." if len(told) > MOST_ERRORS else ""
        raise BadTuning(" ".join(told[:MOST_ERRORS]) + more) from None
    return _for_method(config, method.lower(), given="QuantizationConfig" in sections)


def unused(config: TuningConfig) -> Iterator[str]:
    """Sentences on what was set and has no effect."""
    given = config.to_sections()
    if "DataCollator" in given:
        yield "DataCollator is not used: a causal model learns the next token."
    if config.training.save_strategy != "no":
        yield "TrainingArguments.save_strategy keeps no more than the result; save_steps sets how often a run is saved."
    if config.model.device_map not in (None, "auto"):
        yield "ModelConfig.device_map is not used: each GPU holds the whole model."


def _sections(content: object) -> dict[str, dict[str, object]]:
    if content is None:
        return {}
    if isinstance(content, Mapping) and set(content) == {ROOT}:
        content = content[ROOT] or {}
    if not isinstance(content, Mapping):
        raise BadTuning(f"It must hold a map named {ROOT} with sections such as LoraConfig.")
    return {str(name): _section(str(name), keys) for name, keys in content.items()}


def _section(name: str, keys: object) -> dict[str, object]:
    """One section with its keys by their present names; what is null is left out."""
    if keys is None:
        return {}
    if not isinstance(keys, Mapping):
        raise BadTuning(f"{name} must be a map of keys and values.")
    aliases = _ALIASES.get(name, {})
    return {aliases.get(str(key), str(key)): value for key, value in keys.items() if value is not None}


def _for_method(config: TuningConfig, method: str, *, given: bool) -> TuningConfig:
    """KAITO's rules: lora forbids quantization, qlora wants exactly one; without a word on it, 4 bits."""
    small = config.quantization
    if method == "qlora" and not given:
        return config.model_copy(update={"quantization": small.model_copy(update={"load_in_4bit": True})})
    if small.load_in_4bit and small.load_in_8bit:
        raise BadTuning("QuantizationConfig: load_in_4bit and load_in_8bit exclude each other; keep one.")
    quantized = small.load_in_4bit or small.load_in_8bit
    if method == "lora" and quantized:
        raise BadTuning("QuantizationConfig asks for fewer bits, and tuning.method is lora: set it to qlora.")
    if method == "qlora" and not quantized:
        raise BadTuning(
            "tuning.method is qlora: set load_in_4bit or load_in_8bit in QuantizationConfig, or leave it out."
        )
    return config


def _told(error: ErrorDetails) -> str:
    """One error for the person who wrote the key."""
    place = [str(part) for part in error["loc"]]
    section, key = place[0], place[1] if len(place) > 1 else ""
    if why := _WHY_NOT.get(key):
        return f"{section}.{key} cannot be set so: {why}."
    if error["type"] != "extra_forbidden":
        return f"{section}.{key}: {error['msg'][:1].lower()}{error['msg'][1:]}; it is {str(error['input'])[:60]!r}."
    known = _keys(section) if key else [str(field.alias) for field in TuningConfig.model_fields.values()]
    near = difflib.get_close_matches(key or section, known, 1)
    what = f"{section} has no key {key!r} here" if key else f"There is no section {section!r}"
    return f"{what}. Did you mean {near[0]}?" if near else f"{what}. There are {', '.join(sorted(known))}."


def _keys(section: str) -> list[str]:
    field = next(field for field in TuningConfig.model_fields.values() if field.alias == section)
    types = (field.annotation, *get_args(field.annotation))
    return next(list(t.model_fields) for t in types if isinstance(t, type) and issubclass(t, Section))
