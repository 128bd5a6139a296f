"""Paths of a container, seen from this machine.

There are no mount namespaces here: a volume lies in the pod's directory, and wherever the container's command,
arguments or environment name a path below a mount path, that path is replaced by the real one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from deploy.local.node.pod_container import Container

_PATH_CHARACTER = r"[\w.\-/]"


def mount_paths(container: Container, volumes: Mapping[str, Path]) -> dict[str, Path]:
    """The real path behind each mount path. Raises ValueError when a subPath points out of its volume."""
    paths: dict[str, Path] = {}
    for mount in container.volume_mounts:
        if ".." in PurePosixPath(mount.sub_path).parts or mount.sub_path.startswith("/"):
            raise ValueError(f"subPath {mount.sub_path!r} of volume {mount.name!r} leads out of the volume")
        paths[mount.mount_path.rstrip("/")] = volumes[mount.name] / mount.sub_path
    return paths


def rewrite(text: str, paths: Mapping[str, Path]) -> str:
    """`text` with every mount path in it replaced, where it stands as a path or as the beginning of one.

    /data is found in `/data`, `--dir=/data/x` and `cat "/data/x"`, but not in `/database`, `/my/data` or
    `http://host/data`. Of nested mounts the deepest counts.
    """
    mounts = sorted((mount for mount in paths if mount), key=len, reverse=True)
    if not mounts:
        return text
    choice = "|".join(re.escape(mount) for mount in mounts)
    pattern = rf"(?<!{_PATH_CHARACTER})({choice})(?=/|(?!{_PATH_CHARACTER}))"
    return re.sub(pattern, lambda found: str(paths[found[1]]), text)
