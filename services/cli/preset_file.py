"""Writes a model into a file of presets, in the style that is there; what else is in it stays as it is. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml
from pydantic import ValidationError

from services.cli.errors import CliError
from services.scheduler.catalog import parse_catalogue
from services.scheduler.facts import ModelFacts

WRAP = 88
"""Column after which a new line begins; the field that reaches it is still written out."""
_NEXT_SECTION = re.compile(r"[A-Za-z_]")


def add_entry(text: str, model: ModelFacts, note: str) -> str:
    """The file's text with the model at the end of its models, below the note as a comment.

    Raises CliError if the file is no file of presets, has the model already, or has another of the same short name.
    """
    lines = text.splitlines(keepends=True)
    if "models:\n" not in lines:
        raise CliError("The file has no line `models:`: name a file in the style of presets/models.yaml.")
    if any(line.startswith(f"- {{id: {model.id},") for line in lines):
        raise CliError(f"{model.id} is in the file already. Remove it there to have it written anew.")
    at = _end_of_models(lines)
    added = "".join([*lines[:at], f"# {note}\n", *(f"{line}\n" for line in entry(model)), *lines[at:]])
    _check(added, model)
    return added


def entry(model: ModelFacts) -> Iterator[str]:
    """The lines of one model: a map on as many lines as it takes."""
    fields = model.model_dump(exclude_defaults=True, mode="json")
    first, *rest = yaml.safe_dump(fields, default_flow_style=True, width=WRAP, sort_keys=False).splitlines()
    yield f"- {first}"
    yield from (f"   {line.strip()}" for line in rest)


def _end_of_models(lines: list[str]) -> int:
    """The index after the last line of the last model."""
    start = lines.index("models:\n") + 1
    rest = range(start, len(lines))
    stop = next((at for at in rest if _NEXT_SECTION.match(lines[at])), len(lines))
    return max((at + 1 for at in range(start, stop) if lines[at].startswith(("- ", " "))), default=start)


def _check(text: str, model: ModelFacts) -> None:
    """See that the file can be read, and has the model as it should be."""
    try:
        found = parse_catalogue(text).resolve(model.id)
    except (ValidationError, ValueError, KeyError, yaml.YAMLError) as error:
        raise CliError(f"The file could not be read with {model.id} in it, so it is left as it was: {error}") from error
    if not isinstance(found, ModelFacts) or found.model_dump() != model.model_dump():
        raise CliError(f"The file would not hold {model.id} as it should, so it is left as it was.")
