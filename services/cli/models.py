"""Finds the model that a command names: a folder with a config.json, a name of the catalogue, or an id of the hub."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from services.cli.connect import run
from services.cli.errors import CliError
from services.cli.hub import hub_model
from services.scheduler.architectures import load_architectures
from services.scheduler.catalog import load_catalogue
from services.scheduler.facts import ModelFacts, Unknown
from services.scheduler.hub.model_id import is_model_id
from services.scheduler.local_model import BadModel, read_folder
from services.scheduler.shapes import Shapes


class FoundModel(NamedTuple):
    """A model by the name it was asked for, with the GiB of its stored weights where they are known."""

    name: str
    shapes: Shapes
    weights_gib: float | None
    note: str | None = None
    """Why the engine does not serve it as it is; it can be sized all the same."""


def find_model(name: str) -> FoundModel:
    """The model of a folder or of a name. Raises CliError."""
    if Path(name).exists():
        try:
            found = read_folder(Path(name))
        except BadModel as error:
            raise CliError(str(error)) from error
        why_not = load_architectures().why_not(name, found.shapes.architecture)
        return FoundModel(name, found.shapes, found.weights_gib, why_not)
    facts = named_model(name)
    return FoundModel(facts.id, facts.shapes, facts.weights_gib, facts.vllm_lacks or facts.own_code)


def named_model(name: str) -> ModelFacts:
    """The facts of a preset; of the hub's model where it is the id of one. Raises CliError where there is none."""
    found = load_catalogue().resolve(name)
    if isinstance(found, ModelFacts):
        return found
    if not isinstance(found, Unknown) or not is_model_id(name):
        raise CliError(f"{found.message} Nor is there a folder of that name with a config.json.")
    try:
        return run(hub_model(name)).facts
    except CliError as error:
        raise CliError(f"{error}{found.hint}") from error
