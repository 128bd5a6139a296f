"""What a new document would break for those who have written against an old one. Pure.

A provisioner that was written against the old document goes on working with the new one if it may still send
what it sends, and if it can read what it is sent. Fields may be added: a reader ignores what it does not know.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from services.contracts.publish.schemas import Schema, as_schema

_LOWER: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_EXACT: Final = ("pattern", "format", "const")
_WORDS: Final = frozenset({"description", "summary", "title", "examples"})


def complaint(released: Schema, fresh: Schema) -> str | None:
    """Why the fresh document must not follow the released one under its version; None if it may."""
    before, after = _version(released), _version(fresh)
    if after < before:
        return f"the version goes back, from {_dotted(before)} to {_dotted(after)}"
    if after[0] > before[0]:
        return None
    if broken := breaking(released, fresh):
        return f"this breaks provisioners, so the first number of the version must be raised: {'; '.join(broken)}"
    if after == before and structure(released) != structure(fresh):
        return "the document has changed, so the second number of the version must be raised"
    return None


def breaking(old: Schema, new: Schema) -> tuple[str, ...]:
    """What breaks, a sentence each, in the order of the old document."""
    return tuple(dict.fromkeys(_broken(old, new)))


def structure(node: object) -> object:
    """A document without what is only for people, and without its version."""
    if isinstance(node, list):
        return [structure(item) for item in node]
    if not isinstance(node, dict):
        return node
    named = {"properties", "parameters", "schemas", "messages", "channels", "operations"}
    return {
        key: {name: structure(inner) for name, inner in value.items()}
        if key in named and isinstance(value, dict)
        else structure(value)
        for key, value in node.items()
        if key not in _WORDS and key != "info"
    }


def _broken(old: Schema, new: Schema) -> Iterator[str]:
    for name, channel in as_schema(old.get("channels")).items():
        now = _at(new, "channels", name)
        if not now:
            yield f"channel {name} is gone"
        elif (address := as_schema(channel).get("address")) != now.get("address"):
            yield f"channel {name} has moved from {address} to {now.get('address')}"
    for name, operation in as_schema(old.get("operations")).items():
        action = as_schema(operation).get("action")
        if _at(new, "operations", name).get("action") != action:
            yield f"operation {name} is gone, or goes the other way"
        for message in _messages_of(old, as_schema(operation)):
            yield from _message(old, new, message, received=action == "receive")


def _messages_of(document: Schema, operation: Schema) -> list[str]:
    channel = str(as_schema(operation.get("channel")).get("$ref", "")).rpartition("/")[2]
    return list(as_schema(_at(document, "channels", channel).get("messages")))


def _message(old: Schema, new: Schema, name: str, *, received: bool) -> Iterator[str]:
    before, after = _at(old, "components", "messages", name), _at(new, "components", "messages", name)
    if not after:
        yield f"message {name} is gone"
        return
    for part in ("payload", "headers"):
        where = name if part == "payload" else f"{name} headers"
        a, b = as_schema(before.get(part)), as_schema(after.get(part))
        yield from _Comparison(old, new).narrowed(a, b, where)
        if received:  # what the reader was written for must still hold of all that comes
            for text in _Comparison(new, old, fields_may_go=True).narrowed(b, a, where):
                yield f"{text} (seen from its reader, which knows the old one)"


class _Comparison:
    """Which values the schemas of document `a` admit that those of document `b` do not. Schemas are trees."""

    def __init__(self, a: Schema, b: Schema, *, fields_may_go: bool = False) -> None:
        self._a = a
        self._b = b
        self._fields_may_go = fields_may_go

    def narrowed(self, a: Schema, b: Schema, path: str) -> Iterator[str]:
        """One sentence for each narrowing."""
        before, after = _by_type(self._a, a), _by_type(self._b, b)
        for kind, schema in before.items():
            other = after.get(kind) or (after.get("number") if kind == "integer" else None) or after.get("any")
            if other is None:
                yield f"{path} can no longer be {kind}"
            else:
                yield from self._of_one_type(schema, other, path)

    def _of_one_type(self, a: Schema, b: Schema, path: str) -> Iterator[str]:
        yield from _limits(a, b, path)
        yield from self._fields(a, b, path)
        for keyword in ("items", "additionalProperties"):
            if keyword in b:
                yield from self.narrowed(as_schema(a.get(keyword)), as_schema(b[keyword]), f"{path}[]")

    def _fields(self, a: Schema, b: Schema, path: str) -> Iterator[str]:
        fields, others = as_schema(a.get("properties")), as_schema(b.get("properties"))
        for name, schema in fields.items():
            if name in others:
                yield from self.narrowed(as_schema(schema), as_schema(others[name]), f"{path}.{name}")
            elif not self._fields_may_go:
                yield f"{path}.{name} is gone"
        for name in sorted(_required(b) - _required(a)):
            yield f"{path}.{name} is newly required"


def _limits(a: Schema, b: Schema, path: str) -> Iterator[str]:
    if "enum" in b:
        for value in _listed(a, "enum"):
            if value not in _listed(b, "enum"):
                yield f"{path} can no longer be {value!r}"
        if "enum" not in a:
            yield f"{path} can only be one of a list now"
    for keyword in _EXACT:
        if keyword in b and a.get(keyword) != b[keyword]:
            yield f"{path} has another {keyword} now: {b[keyword]}"
    for keyword in (*_LOWER, *_UPPER):
        limit, old = b.get(keyword), a.get(keyword)
        if not isinstance(limit, (int, float)):
            continue
        if not isinstance(old, (int, float)) or (limit > old if keyword in _LOWER else limit < old):
            yield f"{path} has a tighter {keyword} now: {limit}"


def _by_type(document: Schema, schema: Schema) -> dict[str, Schema]:
    """The alternatives of a schema by their type, with references followed. One without a type is `any`."""
    schema = _followed(document, schema)
    found: dict[str, Schema] = {}
    for inner in _listed(schema, "anyOf"):
        found |= _by_type(document, as_schema(inner))
    kinds = _listed(schema, "type") or [schema.get("type", "any")]
    return found or {str(kind): schema for kind in kinds}


def _followed(document: Schema, schema: Schema) -> Schema:
    while "$ref" in schema:
        schema = _at(document, *str(schema["$ref"]).removeprefix("#/").split("/"))
    return schema


def _listed(schema: Schema, keyword: str) -> list[object]:
    found = schema.get(keyword)
    return list(found) if isinstance(found, list) else []


def _required(schema: Schema) -> set[str]:
    return {str(name) for name in _listed(schema, "required")}


def _at(document: Schema, *path: str) -> Schema:
    for name in path:
        document = as_schema(document.get(name))
    return document


def _version(document: Schema) -> tuple[int, ...]:
    return tuple(int(part) for part in str(_at(document, "info").get("version", "0")).split("."))


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
