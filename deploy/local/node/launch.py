"""From a container of a Pod to the process that stands for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deploy.local.node.container import Command
from deploy.local.node.downward import Place
from deploy.local.node.env import container_env, expand_all
from deploy.local.node.images import Image
from deploy.local.node.mounts import mount_paths, rewrite
from deploy.local.node.pod import Pod
from deploy.local.node.pod_container import Container
from deploy.local.node.ports import port_env, rewrite_ports
from deploy.local.node.sources import ConfigError, Sources
from deploy.local.node.volumes import temporary_dir_of, volume_paths

SYSTEM_PATH = ("/usr/local/bin", "/usr/bin", "/bin")


def container_mounts(pod: Pod, container: Container, pod_dir: Path) -> dict[str, Path]:
    """The real path behind each of the container's mount paths. Raises ConfigError."""
    try:
        return mount_paths(container, volume_paths(pod, pod_dir))
    except ValueError as error:
        raise ConfigError(str(error)) from error


def build_command(
    pod: Pod,
    container: Container,
    image: Image,
    sources: Sources,
    place: Place,
    *,
    pod_dir: Path,
    ports: Mapping[int, int],
    base_env: Mapping[str, str],
) -> Command:
    """What the container's process runs, in which environment, and where. Raises ConfigError.

    The environment is the image's, not this agent's. Mount paths and ports are replaced by the real ones.
    """
    mounts = container_mounts(pod, container, pod_dir)
    given = {**_given_env(pod, image, pod_dir), **base_env, **port_env(ports)}
    declared = container_env(pod, container, sources, place, given)
    env = {name: rewrite(value, mounts) for name, value in declared.items()}
    argv = expand_all(container.command or image.command, declared) + expand_all(container.args, declared)
    if not argv:
        raise ConfigError(f"neither container {container.name!r} nor its image {container.image!r} names a command")
    argv = rewrite_ports([rewrite(part, mounts) for part in argv], ports)
    return Command(argv, env, rewrite(container.working_dir, mounts) or given["HOME"])


def _given_env(pod: Pod, image: Image, pod_dir: Path) -> dict[str, str]:
    own = {
        "PATH": ":".join((*image.path, *SYSTEM_PATH)),
        "HOME": str(pod_dir / "home"),
        "HOSTNAME": pod.spec.hostname or pod.metadata.name,
        "TMPDIR": str(temporary_dir_of(pod.metadata.uid)),
        "LANG": "C.UTF-8",
    }
    return own | image.env
