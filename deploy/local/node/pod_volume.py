"""The volumes of a pod, named as in the Kubernetes API. Frozen."""

from __future__ import annotations

from pydantic import Field

from deploy.local.node.pod_container import FieldRef, ResourceFieldRef
from services.contracts.base import Contract


class KeyToPath(Contract):
    """Which key becomes which file."""

    key: str
    path: str
    mode: int | None = None


class EmptyDir(Contract):
    """A directory that lives as long as the pod; `medium` "Memory" puts it on a tmpfs."""

    medium: str = ""


class HostPath(Contract):
    """A path of this machine."""

    path: str
    type: str = ""


class ConfigMapVolume(Contract):
    """Files from a ConfigMap."""

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: int = 0o644
    optional: bool = False


class SecretVolume(Contract):
    """Files from a Secret. In a projected volume the name is called `name`, elsewhere `secretName`."""

    secret_name: str = ""
    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    optional: bool = False


class DownwardItem(Contract):
    """A file with a field of the pod in it."""

    path: str
    field_ref: FieldRef | None = None
    resource_field_ref: ResourceFieldRef | None = None


class DownwardVolume(Contract):
    """Files with fields of the pod."""

    items: tuple[DownwardItem, ...] = ()


class TokenSource(Contract):
    """A token of the pod's service account."""

    path: str
    audience: str = ""
    expiration_seconds: int = 3600


class Projection(Contract):
    """One source of a projected volume."""

    config_map: ConfigMapVolume | None = None
    secret: SecretVolume | None = None
    downward_api: DownwardVolume | None = Field(None, alias="downwardAPI")
    service_account_token: TokenSource | None = None


class Projected(Contract):
    """Several sources in one directory."""

    sources: tuple[Projection, ...] = ()


class Volume(Projection):
    """A volume of the pod. None of the fields set: a kind that this node does not provide."""

    name: str
    empty_dir: EmptyDir | None = None
    host_path: HostPath | None = None
    projected: Projected | None = None

    @property
    def projections(self) -> tuple[Projection, ...]:
        """The sources of its files; empty for directories."""
        if self.projected:
            return self.projected.sources
        return (self,) if self.config_map or self.secret or self.downward_api else ()
