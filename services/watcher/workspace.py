"""A Workspace as the API server gives it, read into types."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field, ValidationError

from services.chassis.kube import JsonObject, dig_dicts, dig_str
from services.chassis.settle import readable
from services.contracts.base import Contract
from services.contracts.conditions import ConditionType
from services.contracts.messages import Message
from services.contracts.status import WorkspaceStatus
from services.contracts.workspace import FINALIZER, GROUP, WorkspaceSpec


class Manager(Contract):
    """Who wrote fields of an object, and when last; of a subresource, or of the object itself."""

    time: datetime | None = None
    subresource: str = ""


class Metadata(Contract):
    """What is needed of an object's metadata."""

    name: str
    namespace: str = ""
    uid: str
    generation: int = 1
    resource_version: str = ""
    creation_timestamp: datetime
    deletion_timestamp: datetime | None = None
    finalizers: tuple[str, ...] = ()
    annotations: dict[str, str] = Field(default_factory=dict)
    managed_fields: tuple[Manager, ...] = ()

    @property
    def changed_at(self) -> datetime:
        """When somebody last wrote the object apart from its status; its creation where it does not tell."""
        times = (m.time for m in self.managed_fields if m.time and not m.subresource)
        return max(times, default=self.creation_timestamp)

    @property
    def deleting(self) -> bool:
        """Whether someone has asked for its deletion."""
        return self.deletion_timestamp is not None

    @property
    def held(self) -> bool:
        """Whether our finalizer keeps it until all is taken down."""
        return FINALIZER in self.finalizers

    @property
    def ours(self) -> dict[str, str]:
        """The annotations that travel: ours, and those of providers."""
        return {key: value for key, value in self.annotations.items() if f"{GROUP}/" in key}

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return (self.namespace, self.name)


class Workspace(Contract):
    """One Workspace. `spec` is None, and `unreadable` says why, where the spec does not fit the model."""

    metadata: Metadata
    spec: WorkspaceSpec | None = None
    unreadable: str | None = None
    status: WorkspaceStatus = WorkspaceStatus()

    @property
    def identity(self) -> Message:
        """What messages about it carry."""
        meta = self.metadata
        return Message(namespace=meta.namespace, name=meta.name, uid=meta.uid, generation=meta.generation)


def read(obj: JsonObject) -> Workspace:
    """Read an object of the API server. Only metadata that no server would send raises ValidationError."""
    metadata = Metadata.model_validate(obj["metadata"])
    status = _status(obj.get("status") or {})
    try:
        return Workspace(metadata=metadata, spec=WorkspaceSpec.model_validate(obj), status=status)
    except ValidationError as error:
        return Workspace(metadata=metadata, unreadable=readable(error), status=status)


def _status(raw: object) -> WorkspaceStatus:
    """The status, without conditions of types that we do not have: another controller may have left them.

    One that cannot be read all the same (edited by hand) counts as none.
    """
    known = dict(raw) if isinstance(raw, dict) else {}
    known["conditions"] = [c for c in dig_dicts(known, "conditions") if dig_str(c, "type") in tuple(ConditionType)]
    try:
        return WorkspaceStatus.model_validate(known)
    except ValidationError:
        return WorkspaceStatus()
