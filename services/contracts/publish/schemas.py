"""JSON Schemas (2020-12) of what a provisioner receives and sends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic.json_schema import models_json_schema

from services.contracts.base import Contract
from services.contracts.errors import Failure
from services.contracts.messages import Demand, Report
from services.contracts.offers import Offers

Schema = dict[str, object]

PUBLISHED: Final[Mapping[str, type[Contract]]] = {
    "demand": Demand,
    "report": Report,
    "offers": Offers,
    "failure": Failure,
}
"""The models that have a file of their own, by its name."""


def all_schemas(prefix: str) -> dict[str, Schema]:
    """The schemas of all published models and of what they are made of, by the model's name.

    They refer to each other by `prefix` and name.
    """
    pairs = [(model, "validation") for model in PUBLISHED.values()]
    _, found = models_json_schema(pairs, ref_template=prefix + "{model}")  # type: ignore[arg-type]  # a literal, widened
    return {name: _plain(schema) for name, schema in sorted(as_schema(found["$defs"]).items())}


def schema_file(name: str, version: str) -> Schema:
    """One model's schema with all that it needs."""
    parts = all_schemas("#/$defs/")
    own = parts.pop(PUBLISHED[name].__name__)
    needed = _needed(own, parts)
    head: Schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:kaitobus:contract:{version.partition('.')[0]}:{name}",
    }
    return head | own | ({"$defs": needed} if needed else {})


def as_schema(node: object) -> Schema:
    """An object of a JSON document; empty for anything else."""
    return {str(key): value for key, value in node.items()} if isinstance(node, dict) else {}


def _needed(schema: Schema, parts: dict[str, Schema]) -> dict[str, Schema]:
    """Those of the parts that a schema refers to, directly or by another."""
    found: dict[str, Schema] = {}
    waiting = [schema]
    while waiting:
        for name in _references(waiting.pop()) - found.keys():
            found[name] = parts[name]
            waiting.append(parts[name])
    return dict(sorted(found.items()))


def _references(node: object) -> set[str]:
    if isinstance(node, list):
        return set().union(*map(_references, node))
    if not isinstance(node, dict):
        return set()
    own = {str(node["$ref"]).rpartition("/")[2]} if "$ref" in node else set()
    return own.union(*map(_references, node.values()))


def _plain(node: object) -> Schema:
    """Without the titles that pydantic derives from field names: they say nothing more."""
    schema = {key: value for key, value in as_schema(node).items() if key != "title"}
    if "properties" in schema:
        schema["properties"] = {name: _plain(inner) for name, inner in as_schema(schema["properties"]).items()}
    return schema
