"""The whole custom resource definition as a JSON object."""

from __future__ import annotations

from deploy.crds.columns import columns
from deploy.crds.rules import add_rules, node_at
from deploy.crds.structural import PRESERVE_UNKNOWN, Schema, as_schema, mapped, structural
from services.contracts.status import WorkspaceStatus
from services.contracts.workspace import GROUP, STORAGE_VERSION, VERSIONS, WorkspaceSpec

_MAX_CONDITION_TYPE = 316
"""As in metav1.Condition: a DNS name of 253, a slash, and a name of 63, less one."""

_ROOT: Schema = {
    "type": "object",
    "description": "A model to serve or to fine-tune, and the nodes it runs on. It has no spec: resource, "
    "and one of inference and tuning, stand at the top.",
}
_META: Schema = {
    "apiVersion": {"type": "string", "description": "The version of this schema, such as kaito.sh/v1beta1."},
    "kind": {"type": "string", "description": "Workspace."},
    "metadata": {"type": "object"},
}


def definition(*, cel: bool) -> Schema:
    """The CustomResourceDefinition of Workspace, with the same schema and columns in every version.

    `cel` says whether the schema carries CEL rules.
    """
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"workspaces.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": _names(),
            "conversion": {"strategy": "None"},
            "versions": [_version(name, workspace_schema(cel=cel)) for name in VERSIONS],
        },
    }


def workspace_schema(*, cel: bool) -> Schema:
    """The structural schema of a Workspace, with its CEL rules or without."""
    spec = structural(WorkspaceSpec.model_json_schema())
    status = status_schema() | {"description": "What was decided and what has been reached. Written by the watcher."}
    schema = _ROOT | {
        "required": spec["required"],
        "properties": _META | as_schema(spec["properties"]) | {"status": status},
    }
    # As metav1.LabelSelector: an applier owns the whole selector, two appliers never mix theirs.
    node_at(schema, ("resource", "labelSelector"))["x-kubernetes-map-type"] = "atomic"
    if cel:
        add_rules(schema)
    return schema


def status_schema() -> Schema:
    """The schema of `status`, loose enough for a newer writer, and for objects that KAITO has left."""
    schema = mapped(structural(WorkspaceStatus.model_json_schema()), _loosened)
    node_at(schema, ("conditions", "[]", "type"))["maxLength"] = _MAX_CONDITION_TYPE
    conditions = node_at(schema, ("conditions",))
    conditions |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    # The plan is read back and decides: what a newer scheduler adds to it must not get lost.
    plan = mapped(node_at(schema, ("plan",)), _opened)
    # It is written whole, by one. Who owns which of its fields would be half of the object, at each write and read.
    as_schema(schema["properties"])["plan"] = plan | {"x-kubernetes-map-type": "atomic"}
    return schema


def _loosened(node: Schema) -> Schema:
    """No default and no closed set of values.

    One value that this schema does not know would otherwise have every later update refused, be it of a
    label. The watcher alone writes the status, and its model is stricter than this.
    """
    return {key: value for key, value in node.items() if key not in ("default", "enum")}


def _opened(node: Schema) -> Schema:
    """An object keeps the fields that this schema does not know."""
    return node | {PRESERVE_UNKNOWN: True} if "properties" in node else node


def _names() -> Schema:
    return {
        "kind": "Workspace",
        "listKind": "WorkspaceList",
        "plural": "workspaces",
        "singular": "workspace",
        "shortNames": ["wk", "wks"],
        "categories": ["workspace"],
    }


def _version(name: str, schema: Schema) -> Schema:
    return {
        "name": name,
        "served": True,
        "storage": name == STORAGE_VERSION,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [*columns()],
        "schema": {"openAPIV3Schema": schema},
    }
