"""The CEL rules of a Workspace (`x-kubernetes-validations`), each with a message that says what to change.

A server that knows them refuses an object that breaks one; on an older server the watcher says the same in
a condition. Rules must never lock up an object that a server without them took in, for then not even its
finalizer could be removed. Therefore the shape of the whole is asked only of objects without a status (the
server drops the status of a new one), what must not change is asked once there is a plan, and the rules
further in count on a server that skips what an update leaves as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from deploy.crds.structural import Schema, as_schema

_RECREATE = "Delete the Workspace and create it again to use another one."


@dataclass(frozen=True)
class Rule:
    """One rule: a CEL expression over `self` (and `oldSelf`, on updates) and what to say when it is false."""

    rule: str
    message: str

    def to_schema(self) -> Schema:
        """As it stands in the definition."""
        return {"rule": self.rule, "message": self.message}


def _once_planned(expression: str) -> str:
    return f"!has(oldSelf.status) || !has(oldSelf.status.plan) || ({expression})"


def _unchanged(parent: str, field: str, leaf: str = "") -> str:
    """That an optional field is there as before, and is, or its `leaf`, what it was."""
    new, old = f"self.{parent}.{field}", f"oldSelf.{parent}.{field}"
    return f"has({new}) == has({old}) && (!has({new}) || {new}{leaf} == {old}{leaf})"


def _same_preset(part: str) -> str:
    return _once_planned(f"!has(self.{part}) || !has(oldSelf.{part}) || ({_unchanged(part, 'preset', '.name')})")


_WHOLE = (
    Rule(
        "has(self.status) || has(self.inference) != has(self.tuning)",
        "A Workspace has exactly one of inference and tuning. Remove one, or add the one that is missing.",
    ),
    Rule(
        _once_planned("has(self.inference) == has(oldSelf.inference) && has(self.tuning) == has(oldSelf.tuning)"),
        "A Workspace can't switch between inference and tuning. Delete it and create it again with the other.",
    ),
    Rule(
        _once_planned(_unchanged("resource", "instanceType")),
        f"resource.instanceType can't be changed, because the nodes exist already. {_RECREATE}",
    ),
    Rule(
        _once_planned("self.resource.labelSelector == oldSelf.resource.labelSelector"),
        f"resource.labelSelector can't be changed, because the nodes carry its labels. {_RECREATE}",
    ),
    Rule(_same_preset("inference"), f"inference.preset can't be added, removed or renamed. {_RECREATE}"),
    Rule(_same_preset("tuning"), f"tuning.preset can't be added, removed or renamed. {_RECREATE}"),
)
_INFERENCE = Rule(
    "has(self.preset) != has(self.template)",
    "inference has exactly one of preset and template. Remove one, or add the one that is missing.",
)
_MACHINE = Rule(
    r"self.matches('^\\S+$')",
    "resource.instanceType has blanks, or is empty. Write the cloud's name of a machine size, or leave it out.",
)
_METHOD = Rule("self.matches('(?i)^q?lora$')", "tuning.method is lora or qlora. Change it to one of the two.")
_SOURCE = Rule(
    "[has(self.urls) && size(self.urls) > 0, has(self.image), has(self.volumeSource)].filter(x, x).size() == 1",
    "A data source has exactly one of urls, image and volumeSource. Remove the others, or add one.",
)

RULES: dict[tuple[str, ...], tuple[Rule, ...]] = {
    (): _WHOLE,
    ("resource", "instanceType"): (_MACHINE,),
    ("inference",): (_INFERENCE,),
    ("inference", "adapters", "[]", "source"): (_SOURCE,),
    ("tuning", "method"): (_METHOD,),
    ("tuning", "input"): (_SOURCE,),
}
"""The rules by the path of the field that is their `self`; `[]` stands for the items of a list."""


def add_rules(schema: Schema) -> None:
    """Put the rules into the schema of a Workspace, which is changed."""
    for path, rules in RULES.items():
        node_at(schema, path)["x-kubernetes-validations"] = [rule.to_schema() for rule in rules]


def node_at(schema: Schema, path: tuple[str, ...]) -> Schema:
    """The schema of the field at that path. Raises KeyError if there is none."""
    for step in path:
        schema = as_schema(schema["items"] if step == "[]" else as_schema(schema["properties"])[step])
    return schema
