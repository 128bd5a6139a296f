"""Writes a model into a file of presets, in the style that is there; what else is in it stays as it is. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml
from pydantic import ValidationError

from services.cli.errors import CliError
from services.scheduler.catalog import parse_catalogue
from services.scheduler.facts import ModelFacts

WIDTH = 120
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
    line = "- {"
    for number, (key, value) in enumerate(fields.items()):
        end = "}" if number == len(fields) - 1 else ","
        field = _flow(key, value) + end
        if len(line) + len(field) > WIDTH - 1:
            yield line.rstrip()
            line = "   "
        line += field + ("" if end == "}" else " ")
    yield line


def _flow(key: str, value: object) -> str:
    """One field as it stands within braces."""
    if isinstance(value, float):
        return f"{key}: {value:.2f}"
    return yaml.safe_dump({key: value}, default_flow_style=True, width=10**6, sort_keys=False).strip()[1:-1]


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
    if found != model:
        raise CliError(f"The file would not hold {model.id} as it should, so it is left as it was.")
