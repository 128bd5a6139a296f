"""Brings an adapter's files to a folder: from a registry, a volume or addresses. Blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from services.inference.adapters.wanted import Adapter, AdapterError, Mounts
from services.inference.oci.client import Registry
from services.inference.oci.credentials import find_credentials, read_configs
from services.inference.oci.names import Kind
from services.inference.oci.pull import Limits, pull
from services.inference.oci.reference import parse_reference
from services.inference.oci.store import Store
from services.inference.oci.view import view

LARGEST: Final = 16 * 2**30
"""Bytes of the largest adapter; one of rank 512 for a model of 70 billion weights has less."""


class Fetched(NamedTuple):
    """A folder with the files, and the digest of the image that they came in."""

    folder: Path
    digest: str | None = None


def fetch(adapter: Adapter, mounts: Mounts, home: Path) -> Fetched:
    """Fetch. Raises AdapterError, OciError, OSError."""
    into = home / "fetched" / adapter.name
    if adapter.image:
        return _from_registry(adapter, adapter.image, mounts, home, into)
    if adapter.volume:
        return Fetched(_from_volume(adapter, adapter.volume, mounts, into))
    raise AdapterError("It names no place for its files.")


def _from_registry(adapter: Adapter, image: str, mounts: Mounts, home: Path, into: Path) -> Fetched:
    reference = parse_reference(image)
    if not mounts.secrets.keys() >= set(adapter.pull_secrets):
        raise AdapterError("Its pull secret is not mounted yet: the server starts anew for it.")
    secrets = [Path(mounts.secrets[name]) for name in adapter.pull_secrets]
    there = [path for path in secrets if path.is_dir() and any(path.iterdir())]
    credentials = find_credentials(read_configs(there), reference)
    with Registry(reference, credentials) as registry:
        pulled = pull(registry, Kind.ADAPTER, into, Store(home / "store"), limits=Limits(bytes=LARGEST))
    return Fetched(pulled.folder.resolve(), pulled.digest)


def _from_volume(adapter: Adapter, key: str, mounts: Mounts, into: Path) -> Path:
    """The files of the volume, or of its folder that has the adapter's name, for a volume with several adapters."""
    if key not in mounts.volumes:
        raise AdapterError("Its volume is not mounted yet: the server starts anew for it.")
    volume = Path(mounts.volumes[key])
    own = volume / adapter.name
    view(own if own.is_dir() else volume, Kind.ADAPTER, into)
    return into.resolve()
