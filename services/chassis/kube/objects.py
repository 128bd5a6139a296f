"""Names and shapes of Kubernetes objects: which REST path a resource has, and how to read nested JSON.

Objects are plain JSON here, as the API server sends them. Custom resources have no generated classes, and an
object that is read and written back must not lose a field that an older client does not know.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote

JsonObject = dict[str, object]
"""A JSON object: what `json.loads` gives for `{...}`."""

Key = tuple[str, str]
"""Namespace ("" for cluster-scoped objects) and name: unique among the objects of one resource."""


class NoSuchName(ValueError):
    """No object of Kubernetes can have that name: it would lead to another place of the API."""


class Resource(NamedTuple):
    """One resource of the API, such as pods. `group` is "" for the core group."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As in an object's `apiVersion`: "v1", "apps/v1"."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The REST path of one object, or of the whole collection when `name` is left out.

        Without `namespace` the collection spans all namespaces.

        Raises:
            NoSuchName: nothing can be called so.
            ValueError: a name is given for a namespaced resource, but no namespace.
        """
        if name is not None and self.namespaced and not namespace:
            raise ValueError(f"{self.kind} {name} lives in a namespace, and none was given")
        parts = [f"/apis/{self.group}" if self.group else "/api", self.version]
        if namespace and self.namespaced:
            parts += ["namespaces", _segment(namespace)]
        parts += [self.plural, *([] if name is None else [_segment(name)]), *([subresource] if subresource else [])]
        return "/".join(parts)


def _segment(name: str) -> str:
    """A name as one segment of a path. Raises NoSuchName for what Kubernetes allows in none: there it means more."""
    if name in ("", ".", "..") or "/" in name or "%" in name:
        raise NoSuchName(f"{name[:100]!r} is no name")
    return quote(name, safe="")


class ObjectRef(NamedTuple):
    """The address of one object. Two objects that follow each other under one name share it."""

    resource: Resource
    name: str
    namespace: str | None = None

    @property
    def key(self) -> Key:
        """Namespace and name, unique within the resource."""
        return (self.namespace or "", self.name)

    @property
    def path(self) -> str:
        """The REST path."""
        return self.resource.path(self.namespace, self.name)

    def __str__(self) -> str:
        where = f"{self.namespace}/" if self.namespace else ""
        return f"{self.resource.kind} {where}{self.name}"

    @classmethod
    def of(cls, resource: Resource, obj: JsonObject) -> ObjectRef:
        """The address of an object that was read."""
        namespace = dig_str(obj, "metadata", "namespace") if resource.namespaced else ""
        return cls(resource, dig_str(obj, "metadata", "name"), namespace or None)


PODS = Resource("", "v1", "pods", "Pod")
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
SERVICES = Resource("", "v1", "services", "Service")
ENDPOINTS = Resource("", "v1", "endpoints", "Endpoints")
CONFIGMAPS = Resource("", "v1", "configmaps", "ConfigMap")
SECRETS = Resource("", "v1", "secrets", "Secret")
EVENTS = Resource("", "v1", "events", "Event")
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
SERVICEACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
PERSISTENTVOLUMECLAIMS = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
STATEFULSETS = Resource("apps", "v1", "statefulsets", "StatefulSet")
JOBS = Resource("batch", "v1", "jobs", "Job")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False)
WORKSPACES = Resource("kaito.sh", "v1beta1", "workspaces", "Workspace")

WELL_KNOWN: dict[tuple[str, str], Resource] = {
    (resource.api_version, resource.kind): resource
    for resource in (
        PODS, NODES, SERVICES, ENDPOINTS, CONFIGMAPS, SECRETS, EVENTS, NAMESPACES, SERVICEACCOUNTS,
        PERSISTENTVOLUMECLAIMS, STATEFULSETS, JOBS, LEASES, CRDS, WORKSPACES,
    )
}  # fmt: skip
"""By `apiVersion` and `kind`: resources whose REST path is known without asking the server."""


def dig(obj: object, *path: str | int) -> object | None:
    """What lies at `path` in nested JSON; None where any step is missing or has another shape."""
    for step in path:
        if isinstance(step, str) and isinstance(obj, dict):
            obj = obj.get(step)
        elif isinstance(step, int) and isinstance(obj, list) and -len(obj) <= step < len(obj):
            obj = obj[step]
        else:
            return None
    return obj


def dig_str(obj: object, *path: str | int) -> str:
    """The string at `path`, or ""."""
    found = dig(obj, *path)
    return found if isinstance(found, str) else ""


def dig_int(obj: object, *path: str | int) -> int | None:
    """The whole number at `path`, or None. `true` and `false` are not numbers."""
    found = dig(obj, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def dig_dict(obj: object, *path: str | int) -> JsonObject:
    """The JSON object at `path`, or an empty one."""
    found = dig(obj, *path)
    return found if isinstance(found, dict) else {}


def dig_list(obj: object, *path: str | int) -> list[object]:
    """The array at `path`, or an empty one."""
    found = dig(obj, *path)
    return found if isinstance(found, list) else []


def dig_dicts(obj: object, *path: str | int) -> list[JsonObject]:
    """The JSON objects in the array at `path`: conditions, containers, owner references."""
    return [item for item in dig_list(obj, *path) if isinstance(item, dict)]
