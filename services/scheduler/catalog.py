"""The catalogue: `presets/` read into memory once; everything after that is a pure look-up."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from importlib.resources import files
from typing import Literal

import yaml
from pydantic import TypeAdapter

from services.scheduler.architectures import load_architectures
from services.scheduler.facts import Facts, Gone, ModelFacts, Sku, Unknown

Cloud = Literal["azure", "aws", "arc"]
"""The clouds whose tables of machines come along."""

_Document = dict[str, object]
_MAPPING = TypeAdapter(dict[str, str])


class Catalogue(Facts):
    """All models, and the names that lead to them. Every key is in lower case."""

    models: tuple[ModelFacts, ...]
    names: Mapping[str, ModelFacts]
    gone: Mapping[str, Gone]

    def resolve(self, name: str) -> ModelFacts | Gone | Unknown:
        """The model of an id, a short name or an alias, whatever its case; or what to say when there is none."""
        wanted = name.strip().lower()
        found = self.names.get(wanted) or self.gone.get(wanted)
        return found or Unknown(name=name, suggestions=self._near(wanted))

    def _near(self, wanted: str) -> tuple[str, ...]:
        """Up to three names that look like the one wanted; an id is compared with ids, a short name with those."""
        rivals = [name for name in self.names if ("/" in name) == ("/" in wanted)]
        return tuple(get_close_matches(wanted, rivals, n=3, cutoff=0.6))


def load_catalogue() -> Catalogue:
    """Read `presets/models.yaml`, and what the engine can of each architecture: 30 ms, so call it once at the start.

    Raises:
        pydantic.ValidationError: the data has a field that is missing, misspelt or of the wrong kind.
        ValueError: two models answer to one name, or an alias leads nowhere.
    """
    return parse_catalogue(_text("models.yaml"))


def parse_catalogue(text: str) -> Catalogue:
    """Read a catalogue. Raises as `load_catalogue` does, and yaml.YAMLError or KeyError if it is none."""
    document = _parse(text)
    models = _with_reasons(
        TypeAdapter(tuple[ModelFacts, ...]).validate_python(document["models"]),
        _MAPPING.validate_python(document.get("flag_reasons", {})),
    )
    without_lora = load_architectures().without_lora
    models = tuple(
        model.model_copy(update={"lora": False}) if model.architecture in without_lora else model for model in models
    )
    gone = {name: Gone(name=name, message=text) for name, text in _strings(document, "gone").items()}
    return Catalogue(models=models, names=_names(models, _strings(document, "aliases")), gone=gone)


def _with_reasons(models: tuple[ModelFacts, ...], reasons: Mapping[str, str]) -> tuple[ModelFacts, ...]:
    """The models, each with the reasons of its own flags."""
    return tuple(
        model.model_copy(update={"flag_reasons": {name: reasons[name] for name in model.flags if name in reasons}})
        if model.flags
        else model
        for model in models
    )


def load_skus(cloud: Cloud) -> tuple[Sku, ...]:
    """Read the machines of one cloud.

    Raises:
        pydantic.ValidationError: the data has a field that is missing, misspelt or of the wrong kind.
    """
    return TypeAdapter(tuple[Sku, ...]).validate_python(_parse(_text(f"skus-{cloud}.yaml"))["skus"])


def _names(models: tuple[ModelFacts, ...], aliases: Mapping[str, str]) -> dict[str, ModelFacts]:
    """Every name of every model. An alias may repeat its own model's short name, but not take another's."""
    by_id = {model.id: model for model in models}
    names: dict[str, ModelFacts] = {}
    for model in models:
        _add(names, model.id.lower(), model)
        _add(names, model.name, model)
    for alias, model_id in aliases.items():
        if model_id not in by_id:
            raise ValueError(f"models.yaml: the alias '{alias}' leads to '{model_id}', which is no model there")
        _add(names, alias.lower(), by_id[model_id])
    return names


def _add(names: dict[str, ModelFacts], name: str, model: ModelFacts) -> None:
    taken = names.setdefault(name, model)
    if taken is not model:
        raise ValueError(f"models.yaml: '{name}' names both {taken.id} and {model.id}")


def _strings(document: _Document, key: str) -> dict[str, str]:
    return _MAPPING.validate_python(document[key])


def _text(filename: str) -> str:
    return files("presets").joinpath(filename).read_text(encoding="utf-8")


def _parse(text: str) -> _Document:
    """One file of the presets, read by libyaml, which takes a tenth of the time of the loader in Python."""
    return TypeAdapter(_Document).validate_python(yaml.load(text, Loader=yaml.CSafeLoader))
