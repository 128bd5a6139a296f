"""Pydantic's JSON schema as the structural schema that a custom resource definition needs.

Kubernetes wants every node typed, no `$ref`, no `anyOf` that decides a type, and no `title`. A field that
may be None is one that may be left out. See "Specifying a structural schema" in the Kubernetes documentation.
"""

from __future__ import annotations

from collections.abc import Callable

from pydantic import JsonValue

Schema = dict[str, JsonValue]

PRESERVE_UNKNOWN = "x-kubernetes-preserve-unknown-fields"

_COPIED = (
    *("description", "type", "format", "enum", "default"),
    *("minimum", "maximum", "minLength", "maxLength", "pattern", "minItems", "maxItems", "required"),
)
_RESOLVED = frozenset({"$defs", "title", "properties", "items", "additionalProperties"})


class UnsupportedSchemaError(ValueError):
    """A model uses something that a structural schema can't say."""


def structural(schema: Schema) -> Schema:
    """The structural form of a schema that pydantic made with `model_json_schema`.

    Raises UnsupportedSchemaError for a union of types, or a keyword that is not known here.
    """
    return _node(schema, as_schema(schema.get("$defs", {})))


def mapped(schema: Schema, change: Callable[[Schema], Schema]) -> Schema:
    """A copy in which `change` has been applied to every node, the inner ones first."""
    result = dict(schema)
    if "properties" in schema:
        properties = as_schema(schema["properties"])
        result["properties"] = {name: mapped(as_schema(node), change) for name, node in properties.items()}
    for keyword in ("items", "additionalProperties"):
        if keyword in schema:
            result[keyword] = mapped(as_schema(schema[keyword]), change)
    return change(result)


def as_schema(value: JsonValue) -> Schema:
    """The value, which must be a JSON object."""
    if not isinstance(value, dict):
        raise UnsupportedSchemaError(f"expected a JSON object in the schema, found {value!r}")
    return value


def _node(node: Schema, definitions: Schema) -> Schema:
    node = _without_null(_inlined(node, definitions), definitions)
    if unknown := node.keys() - _RESOLVED - set(_COPIED):
        raise UnsupportedSchemaError(f"keywords {sorted(unknown)} have no structural form here: {node!r}")
    result = {key: node[key] for key in _COPIED if key in node}
    if result.get("default", ...) is None:
        del result["default"]
    return result | _children(node, definitions)


def _children(node: Schema, definitions: Schema) -> Schema:
    """The inner schemas of a node; an object that says nothing of its content keeps all of it."""
    result: Schema = {}
    if "properties" in node:
        properties = as_schema(node["properties"])
        result["properties"] = {name: _node(as_schema(inner), definitions) for name, inner in properties.items()}
    if "items" in node:
        result["items"] = _node(as_schema(node["items"]), definitions)
    if "additionalProperties" in node:
        result |= _additional(node["additionalProperties"], definitions)
    return result


def _additional(value: JsonValue, definitions: Schema) -> Schema:
    inner = {} if value is True else _inlined(as_schema(value), definitions)
    if not inner:
        return {PRESERVE_UNKNOWN: True}
    return {"additionalProperties": _node(inner, definitions)}


def _inlined(node: Schema, definitions: Schema) -> Schema:
    """The node with what its `$ref` names; what stands beside the `$ref` wins."""
    reference = node.get("$ref")
    if not isinstance(reference, str):
        return node
    target = as_schema(definitions[reference.removeprefix("#/$defs/")])
    beside = {key: value for key, value in node.items() if key != "$ref"}
    return _inlined(target, definitions) | beside


def _without_null(node: Schema, definitions: Schema) -> Schema:
    """`anyOf` of one type and null becomes that type."""
    options = node.get("anyOf")
    if not isinstance(options, list):
        return node
    kept = [as_schema(option) for option in options if option != {"type": "null"}]
    if len(kept) != 1:
        raise UnsupportedSchemaError(f"a structural schema can't hold a union of types: {node!r}")
    beside = {key: value for key, value in node.items() if key != "anyOf"}
    return _inlined(kept[0], definitions) | beside
