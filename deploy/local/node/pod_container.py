"""The parts of a container that this node reads, named as in the Kubernetes API. Frozen."""

from __future__ import annotations

from pydantic import Field

from services.contracts.base import Contract


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
