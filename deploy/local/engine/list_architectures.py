"""Prints the architectures that vLLM's registry has, as JSON: `python -m deploy.local.engine.list_architectures`.

Runs in the engine's environment. The registry's own groups tell what a class is for; to import each of its 400
classes would take minutes, and a third of them want libraries that the CPU build lacks.
"""

import json
import sys

import vllm
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from vllm.model_executor.models import ModelRegistry, registry

from deploy.local.engine.class_bases import Flags

TEXT_GROUPS = ("_TEXT_GENERATION_MODELS", "_MULTIMODAL_MODELS", "_TRANSFORMERS_SUPPORTED_MODELS")
"""Groups whose models answer with text. The others embed, score, or draft for another model."""


def listed() -> dict[str, object]:
    """Return the engine's version, and the names of its architectures by what they are for."""
    supported = set(ModelRegistry.get_supported_archs())
    text = supported & {name for group in TEXT_GROUPS for name in getattr(registry, group)}
    return {
        "engine": f"vLLM {vllm.__version__}",
        "text": sorted(text),
        "without_lora": sorted(without_lora(text)),
        "other": sorted(supported - text),
        "transformers": sorted(of_transformers()),
    }


def without_lora(names: set[str]) -> set[str]:
    """Return those whose classes do not say that they take LoRA adapters; what cannot be told is not among them."""
    flags = Flags("supports_lora", "vllm")
    classes = {name: ModelRegistry.models[name] for name in names}
    return {name for name, found in classes.items() if flags.of(found.module_name, found.class_name) is False}


def of_transformers() -> set[str]:
    """Return what transformers itself loads as a model that generates text, with or without vLLM."""
    found = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()
    return {name for names in found for name in ([names] if isinstance(names, str) else names)}


if __name__ == "__main__":
    json.dump(listed(), sys.stdout)
