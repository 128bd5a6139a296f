"""The architectures that the engine can load: `presets/architectures.yaml`, which the engine's own registry wrote."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.resources import files

import yaml
from pydantic import TypeAdapter

from services.scheduler.frozen import Facts
from services.scheduler.runtimes import SET_IT


class Architectures(Facts):
    """Names as `config.json` has them: of models that generate text, and of others (embeddings, scores, drafts).

    `without_lora` are those of `text` to which the engine adds no LoRA adapters; `transformers` those that
    transformers itself loads as models that generate text.
    """

    engine: str
    text: frozenset[str]
    without_lora: frozenset[str]
    other: frozenset[str]
    transformers: frozenset[str]

    def why_not(self, model: str, architecture: str) -> str | None:
        """Why a model of that architecture cannot be served, as a sentence; None if it can."""
        if architecture in self.text:
            return None
        if architecture in self.other:
            return f"{model} ({architecture}) does not generate text, and this version serves models that do."
        if architecture in self.transformers:
            return f"{model} has the architecture {architecture}, which {self.engine} does not load. {SET_IT}"
        near = get_close_matches(architecture, sorted(self.text), n=3, cutoff=0.75)
        hint = f" The nearest that it loads: {', '.join(near)}." if near else ""
        return f"{model} has the architecture {architecture}, which {self.engine} does not load.{hint}"


def load_architectures() -> Architectures:
    """Read the list. Raises pydantic.ValidationError if it is not as it must be."""
    text = files("presets").joinpath("architectures.yaml").read_text(encoding="utf-8")
    return TypeAdapter(Architectures).validate_python(yaml.load(text, Loader=yaml.CSafeLoader))
