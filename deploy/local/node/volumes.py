"""Volumes of a pod as directories of this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from deploy.local.node.downward import Place, pod_field, resource_field
from deploy.local.node.pod import Pod
from deploy.local.node.pod_volume import (
    ConfigMapVolume,
    DownwardVolume,
    HostPath,
    KeyToPath,
    Projection,
    SecretVolume,
    Volume,
)
from deploy.local.node.sources import ConfigError, Files, Sources

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - directories below it are made for the user alone


class VolumeFile(NamedTuple):
    """A file of a volume, by its path inside it."""

    path: str
    data: bytes
    mode: int


def volume_files(pod: Pod, volume: Volume, sources: Sources, place: Place) -> list[VolumeFile]:
    """The files of a volume that is made of files. Raises ConfigError when a source is missing."""
    try:
        return [file for source in volume.projections for file in _source_files(pod, source, sources, place)]
    except ConfigError as error:
        raise ConfigError(f"volume {volume.name!r}: {error}") from error


def _source_files(pod: Pod, source: Projection, sources: Sources, place: Place) -> Iterator[VolumeFile]:
    if source.config_map:
        yield from _config_map_files(source.config_map, sources)
    if source.secret:
        yield from _secret_files(source.secret, sources)
    if source.downward_api:
        yield from _downward_files(pod, source.downward_api, place)
    if token := source.service_account_token:
        yield VolumeFile(token.path, sources.tokens.get(token.audience, "").encode(), 0o600)


def _config_map_files(volume: ConfigMapVolume, sources: Sources) -> Iterator[VolumeFile]:
    files = sources.files("ConfigMap", volume.name, optional=volume.optional)
    for item in _items(volume.items, files, f"ConfigMap {volume.name!r}", optional=volume.optional):
        yield VolumeFile(item.path, files[item.key], volume.default_mode if item.mode is None else item.mode)


def _secret_files(volume: SecretVolume, sources: Sources) -> Iterator[VolumeFile]:
    name = volume.secret_name or volume.name
    files = sources.files("Secret", name, optional=volume.optional)
    for item in _items(volume.items, files, f"Secret {name!r}", optional=volume.optional):
        yield VolumeFile(item.path, files[item.key], 0o600)


def _downward_files(pod: Pod, volume: DownwardVolume, place: Place) -> Iterator[VolumeFile]:
    for item in volume.items:
        text = ""
        if item.field_ref:
            text = pod_field(pod, item.field_ref.field_path, place)
        elif item.resource_field_ref:
            text = resource_field(pod, None, item.resource_field_ref, place)
        yield VolumeFile(item.path, text.encode(), 0o644)


def _items(items: tuple[KeyToPath, ...], files: Files, owner: str, *, optional: bool) -> list[KeyToPath]:
    """The wanted keys: those named, else all."""
    missing = [item.key for item in items if item.key not in files]
    if missing and not optional:
        raise ConfigError(f"{owner} has no key {missing[0]!r}; it has: {', '.join(sorted(files)) or 'none'}")
    wanted = [item for item in items if item.key in files]
    return wanted if items else [KeyToPath(key=key, path=key) for key in files]


def volume_paths(pod: Pod, pod_dir: Path) -> dict[str, Path]:
    """Where each volume of the pod lies. Raises ConfigError for a kind of volume that this node lacks."""
    return {volume.name: _volume_path(volume, pod_dir) for volume in pod.spec.volumes}


def _volume_path(volume: Volume, pod_dir: Path) -> Path:
    if volume.host_path:
        return Path(volume.host_path.path)
    if volume.empty_dir or volume.projected or volume.projections:
        return pod_dir / "volumes" / volume.name
    raise ConfigError(
        f"volume {volume.name!r} is of a kind that this node does not provide; it provides emptyDir, configMap, "
        "secret, projected, downwardAPI and hostPath"
    )


def make_volumes(pod: Pod, pod_dir: Path, sources: Sources, place: Place) -> None:
    """Make the pod's volumes, or bring the files in them up to date. Raises ConfigError, OSError."""
    for name, path in volume_paths(pod, pod_dir).items():
        volume = next(one for one in pod.spec.volumes if one.name == name)
        if volume.host_path:
            _check_host_path(volume.name, volume.host_path)
        elif volume.empty_dir:
            _make_empty_dir(path, memory_dir(pod, volume))
        else:
            _write_files(path, volume_files(pod, volume, sources, place))


def memory_dir(pod: Pod, volume: Volume) -> Path | None:
    """Where on the tmpfs a volume in memory lies; None for one on disk, or when there is no tmpfs."""
    in_memory = volume.empty_dir is not None and volume.empty_dir.medium == "Memory"
    return shared_memory_of(pod.metadata.uid) / volume.name if in_memory and SHARED_MEMORY.is_dir() else None


def shared_memory_of(uid: str) -> Path:
    """The directory of a pod on the tmpfs."""
    return SHARED_MEMORY / f"kaitobus-{uid}"


def temporary_dir_of(uid: str) -> Path:
    """TMPDIR of a pod. Programs make Unix sockets there, whose paths may have 107 characters: so it is short."""
    return Path("/tmp") / f"kaitobus-{uid}"  # noqa: S108 - it is made for the user alone


def remove_pod_files(uid: str, pod_dir: Path) -> None:
    """Remove all that a pod had on this machine but its hostPaths."""
    remove_volatile_files(uid)
    shutil.rmtree(pod_dir, ignore_errors=True)


def remove_volatile_files(uid: str) -> None:
    """Remove what a pod would lose if its machine was started anew; its processes must have ended."""
    for folder in (shared_memory_of(uid), temporary_dir_of(uid)):
        shutil.rmtree(folder, ignore_errors=True)


def make_private_dir(path: Path) -> Path:
    """Make a directory for the user alone, with its parents. Raises OSError, also when it is somebody else's."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.lstat().st_uid != os.getuid():
        raise PermissionError(f"{path} belongs to another user of this machine")
    return path


def _make_empty_dir(path: Path, memory: Path | None) -> None:
    make_private_dir(path.parent)
    if memory is None:
        make_private_dir(path)
        return
    make_private_dir(memory.parent)
    make_private_dir(memory)
    if not path.is_symlink():
        path.symlink_to(memory)


def _check_host_path(name: str, volume: HostPath) -> None:
    path = Path(volume.path)
    if volume.type == "DirectoryOrCreate":
        path.mkdir(parents=True, exist_ok=True)
    elif volume.type == "FileOrCreate":
        path.touch(exist_ok=True)
    right = path.is_dir() if volume.type.startswith("Directory") else path.is_file()
    if volume.type in ("Directory", "File") and not right:
        raise ConfigError(f"volume {name!r}: hostPath {volume.path} is not a {volume.type.lower()} of this machine")


def _write_files(folder: Path, files: list[VolumeFile]) -> None:
    """Make the folder hold just these files; a reader sees each one old or new, never half."""
    make_private_dir(folder)
    wanted = {file.path: file for file in files}
    for present in [path for path in folder.rglob("*") if not path.is_dir()]:
        if str(present.relative_to(folder)) not in wanted:
            present.unlink()
    for file in wanted.values():
        _write_file(folder / file.path, file)


def _write_file(path: Path, file: VolumeFile) -> None:
    if path.is_file() and path.read_bytes() == file.data:
        return
    make_private_dir(path.parent)
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(file.data)
    draft.chmod(file.mode)
    draft.replace(path)


def make_sub_paths(paths: Mapping[str, Path], pod_dir: Path) -> None:
    """Make directories for subPaths of volumes of the pod that are not there yet, as the kubelet does."""
    for path in paths.values():
        if path.is_relative_to(pod_dir) and not path.exists():
            make_private_dir(path)
