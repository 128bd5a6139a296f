"""Finds the model that a command names: a folder with a config.json, or a name that the catalogue knows."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from services.cli.errors import CliError
from services.scheduler.catalog import load_catalogue
from services.scheduler.facts import ModelFacts
from services.scheduler.local_model import BadModel, read_folder
from services.scheduler.shapes import Shapes


class FoundModel(NamedTuple):
    """A model by the name it was asked for, with the GiB of its stored weights where they are known."""

    name: str
    shapes: Shapes
    weights_gib: float | None


def find_model(name: str) -> FoundModel:
    """The model of a folder or of a name. Raises CliError."""
    if Path(name).exists():
        try:
            found = read_folder(Path(name))
        except BadModel as error:
            raise CliError(str(error)) from error
        return FoundModel(name, found.shapes, found.weights_gib)
    facts = named_model(name)
    return FoundModel(facts.id, facts.shapes, facts.weights_gib)


def named_model(name: str) -> ModelFacts:
    """The facts of a preset. Raises CliError where there is none of that name."""
    found = load_catalogue().resolve(name)
    if isinstance(found, ModelFacts):
        return found
    raise CliError(f"{found.message} Nor is there a folder of that name with a config.json.")
