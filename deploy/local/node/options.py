"""What the node agent is told on its command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from deploy.local.node.quantity import parse_quantity

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


class Taint(BaseModel):
    """Keeps pods away that do not tolerate it."""

    model_config = ConfigDict(frozen=True)

    key: str
    value: str = ""
    effect: str


class NodeOptions(BaseModel):
    """Everything that can be said about the node. `cpu` and `memory` left out: all that the machine has."""

    model_config = ConfigDict(frozen=True)

    name: str
    kubeconfig: Path
    state_dir: Path
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    taints: tuple[Taint, ...] = ()
    cpu: str | None = None
    memory: str | None = None
    gpus: int = 0
    instance_type: str = "local"
    provider_id: str = ""
    images: Path | None = None
    model_dir: Path | None = None
    client_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    port: int = 0
    delete_node_on_exit: bool = False
    log_level: str = "INFO"


def parse_options(argv: list[str] | None = None) -> NodeOptions:
    """Read the command line. Prints what is wrong and exits with 2 when it cannot be understood."""
    arguments = vars(_parser().parse_args(argv))
    if (arguments["tls_cert"] is None) != (arguments["tls_key"] is None):
        _parser().error("--tls-cert and --tls-key belong together; give both or none")
    return NodeOptions.model_validate(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.local.node",
        description="A Kubernetes node without a container runtime: runs the containers of its pods as processes.",
    )
    add = parser.add_argument
    add("--name", required=True, help="name of the Node object; an existing one is adopted")
    add("--kubeconfig", required=True, type=_file, help="how to reach the API server")
    add("--state-dir", required=True, type=_absolute, help="where pods, logs and ports are kept (mode 0700)")
    add("--labels", type=key_values, default={}, metavar="K=V,...", help="labels of the node")
    add("--annotations", type=key_values, default={}, metavar="K=V,...", help="annotations of the node")
    add("--taints", type=taints, default=(), metavar="K=V:EFFECT,...", help="taints of a node that is new")
    add("--cpu", type=quantity, help="CPUs to offer, such as 2 or 1500m (default: all)")
    add("--memory", type=quantity, help="memory to offer, such as 4Gi (default: all)")
    add("--gpus", type=int, default=0, help="nvidia.com/gpu to offer (default: 0)")
    add("--instance-type", default="local", help="label node.kubernetes.io/instance-type (default: local)")
    add("--provider-id", default="", help="spec.providerID of the node")
    add("--images", type=_absolute, help="YAML file: image name -> {path, env, command}")
    add("--model-dir", type=_absolute, help="given to containers as KAITOBUS_MODEL_DIR")
    add("--client-ca", type=_file, help="serve logs only to clients with a certificate of this authority")
    add("--tls-cert", type=_file, help="certificate to serve logs with (default: one made by the agent)")
    add("--tls-key", type=_file, help="private key of --tls-cert")
    add("--port", type=int, default=0, help="port to serve logs on (default: any free one)")
    add("--delete-node-on-exit", action="store_true", help="delete the Node object on SIGTERM")
    add("--log-level", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    return parser


def key_values(text: str) -> dict[str, str]:
    """`a=b,c=d` as a map. Raises ArgumentTypeError."""
    pairs = [part.partition("=") for part in text.split(",") if part]
    wrong = next((key for key, equals, _ in pairs if not key or not equals), None)
    if wrong is not None:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form key=value,key=value")
    return {key: value for key, _, value in pairs}


def taints(text: str) -> tuple[Taint, ...]:
    """`key=value:Effect,...`; the value may be left out. Raises ArgumentTypeError."""
    return tuple(_taint(part) for part in text.split(",") if part)


def _taint(text: str) -> Taint:
    left, _, effect = text.rpartition(":")
    key, _, value = left.partition("=")
    if not key or effect not in _EFFECTS:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form key=value:{'|'.join(_EFFECTS)}")
    return Taint(key=key, value=value, effect=effect)


def quantity(text: str) -> str:
    """A positive Kubernetes quantity. Raises ArgumentTypeError."""
    try:
        number = parse_quantity(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if number <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} must be more than 0")
    return text


def _absolute(text: str) -> Path:
    return Path(text).expanduser().absolute()


def _file(text: str) -> Path:
    path = _absolute(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"there is no file {path}")
    return path
