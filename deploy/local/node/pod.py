"""The parts of a Pod that this node reads, named as in the Kubernetes API. Frozen; unknown fields are ignored."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from services.contracts.base import Contract

Policy = Literal["Always", "OnFailure", "Never"]


class KeyRef(Contract):
    """One key of a ConfigMap or a Secret."""

    name: str = ""
    key: str
    optional: bool = False


class NameRef(Contract):
    """A ConfigMap or a Secret as a whole."""

    name: str = ""
    optional: bool = False


class FieldRef(Contract):
    """A field of the pod itself, such as metadata.name."""

    field_path: str


class ResourceFieldRef(Contract):
    """A request or a limit of a container, counted in units of `divisor`."""

    resource: str
    container_name: str = ""
    divisor: str = "1"


class EnvSource(Contract):
    """Where a variable's value comes from; exactly one is set."""

    field_ref: FieldRef | None = None
    resource_field_ref: ResourceFieldRef | None = None
    config_map_key_ref: KeyRef | None = None
    secret_key_ref: KeyRef | None = None


class EnvVar(Contract):
    """One environment variable."""

    name: str
    value: str = ""
    value_from: EnvSource | None = None


class EnvFrom(Contract):
    """All keys of a ConfigMap or a Secret as variables."""

    prefix: str = ""
    config_map_ref: NameRef | None = None
    secret_ref: NameRef | None = None


class VolumeMount(Contract):
    """Where a container expects a volume."""

    name: str
    mount_path: str
    sub_path: str = ""


class ContainerPort(Contract):
    """A port that a container listens on."""

    container_port: int
    name: str = ""
    protocol: str = "TCP"


class HttpHeader(Contract):
    """A header of a probe's request."""

    name: str
    value: str = ""


class HttpGet(Contract):
    """GET a URL; 200 to 399 is good."""

    port: int | str
    path: str = "/"
    host: str = ""
    scheme: str = "HTTP"
    http_headers: tuple[HttpHeader, ...] = ()


class TcpSocket(Contract):
    """Open a connection."""

    port: int | str
    host: str = ""


class Exec(Contract):
    """Run a command; exit code 0 is good."""

    command: tuple[str, ...] = ()


class Handler(Contract):
    """An action on a container, of a probe or a hook. None of the three set: one that this node does not know."""

    exec_: Exec | None = Field(None, alias="exec")
    http_get: HttpGet | None = None
    tcp_socket: TcpSocket | None = None


class Probe(Handler):
    """How to ask a container for its health. Times in seconds."""

    initial_delay_seconds: int = 0
    period_seconds: int = 10
    timeout_seconds: int = 1
    success_threshold: int = 1
    failure_threshold: int = 3


class Lifecycle(Contract):
    """Hooks of a container's life. postStart is not run here."""

    pre_stop: Handler | None = None


class Resources(Contract):
    """What a container asks for, and may use at most, as Kubernetes quantities."""

    limits: dict[str, str] = Field(default_factory=dict)
    requests: dict[str, str] = Field(default_factory=dict)


class Container(Contract):
    """A container, of `initContainers` or `containers`."""

    name: str
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    env: tuple[EnvVar, ...] = ()
    env_from: tuple[EnvFrom, ...] = ()
    ports: tuple[ContainerPort, ...] = ()
    volume_mounts: tuple[VolumeMount, ...] = ()
    resources: Resources = Resources()
    startup_probe: Probe | None = None
    readiness_probe: Probe | None = None
    liveness_probe: Probe | None = None
    lifecycle: Lifecycle = Lifecycle()
    termination_message_policy: str = "File"


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


class Metadata(Contract):
    """Who the pod is."""

    name: str
    namespace: str = "default"
    uid: str
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    deletion_timestamp: datetime | None = None
    deletion_grace_period_seconds: int | None = None


class PodSpec(Contract):
    """What the pod shall be."""

    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    restart_policy: Policy = "Always"
    node_name: str = ""
    hostname: str = ""
    service_account_name: str = "default"
    termination_grace_period_seconds: int = 30


class ReportedContainer(Contract):
    """What the API server was told last about a container."""

    name: str
    ready: bool = False
    started: bool = False


class Condition(Contract):
    """A condition of a pod or a node. Times stay text: they are only passed on."""

    type: str
    status: str = "Unknown"
    reason: str | None = None
    message: str | None = None
    last_transition_time: str | None = None
    last_probe_time: str | None = None
    last_heartbeat_time: str | None = None


class ReportedStatus(Contract):
    """What the API server was told last about the pod, by this agent, an earlier one, or the scheduler."""

    phase: str = "Pending"
    conditions: tuple[Condition, ...] = ()
    start_time: str | None = None
    init_container_statuses: tuple[ReportedContainer, ...] = ()
    container_statuses: tuple[ReportedContainer, ...] = ()


class Pod(Contract):
    """A pod that is bound to this node."""

    metadata: Metadata
    spec: PodSpec
    status: ReportedStatus = ReportedStatus()

    @property
    def title(self) -> str:
        """Namespace and name, as people write it."""
        return f"{self.metadata.namespace}/{self.metadata.name}"

    @property
    def deleted(self) -> bool:
        """Whether somebody has asked for its end."""
        return self.metadata.deletion_timestamp is not None

    @property
    def finished(self) -> bool:
        """Whether it is over for good and nothing of it may run again."""
        return self.status.phase in ("Succeeded", "Failed")

    @property
    def grace_seconds(self) -> int:
        """How long its containers have between SIGTERM and SIGKILL."""
        asked = self.metadata.deletion_grace_period_seconds
        return self.spec.termination_grace_period_seconds if asked is None else asked

    def reported(self, container: str) -> ReportedContainer:
        """What the API server was told last about one of its containers."""
        told = (one for one in self.status.container_statuses if one.name == container)
        return next(told, ReportedContainer(name=container))
