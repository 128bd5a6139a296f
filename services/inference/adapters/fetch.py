"""Brings an adapter's files to a folder: from a registry, a volume or addresses. Blocks."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from services.inference.adapters.wanted import Adapter, AdapterError, Mounts
from services.inference.oci.client import Registry
from services.inference.oci.credentials import find_credentials, read_configs
from services.inference.oci.errors import OciError
from services.inference.oci.names import Kind, is_wanted
from services.inference.oci.pull import Limits, pull
from services.inference.oci.reference import parse_reference
from services.inference.oci.store import Store
from services.inference.oci.unpack import Bounds, unpack
from services.inference.oci.view import view
from services.inference.url_rules import UrlRules
from services.inference.urls import download_urls

NETWORKS_ENV: Final = "KAITOBUS_URL_NETWORKS"
"""Networks that addresses may lead to besides the public internet: CIDRs with commas between them."""
PLAIN_HTTP_ENV: Final = "KAITOBUS_URL_PLAIN_HTTP"
_ARCHIVES: Final = {".tar": False, ".tar.gz": True, ".tgz": True}
"""Ends of the names of archives, and whether they are compressed."""
LARGEST: Final = 16 * 2**30
"""Bytes of the largest adapter; one of rank 512 for a model of 70 billion weights has less."""


class Fetched(NamedTuple):
    """A folder with the files, and the digest of the image that they came in."""

    folder: Path
    digest: str | None = None


def fetch(adapter: Adapter, mounts: Mounts, home: Path) -> Fetched:
    """Fetch. Raises AdapterError, OciError, UrlError, OSError."""
    into = home / "fetched" / adapter.name
    if adapter.image:
        return _from_registry(adapter, adapter.image, mounts, home, into)
    if adapter.urls:
        return Fetched(_from_urls(adapter, home, into))
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


def _from_urls(adapter: Adapter, home: Path, into: Path) -> Path:
    """The files, of which an archive is unpacked. What is no adapter is asked for anew the next time."""
    folder = _downloads(adapter, home)
    folder.mkdir(parents=True, exist_ok=True)
    files = [whole.path for whole in download_urls(adapter.urls, folder, url_rules(os.environ))]
    plain = folder / "files"
    shutil.rmtree(plain, ignore_errors=True)
    plain.mkdir()
    try:
        for file in files:
            _take(file, plain)
        view(plain, Kind.ADAPTER, into)
    except OciError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return into.resolve()


def _take(file: Path, plain: Path) -> None:
    packed = next((gzipped for end, gzipped in _ARCHIVES.items() if file.name.lower().endswith(end)), None)
    if packed is not None:
        unpack(file, plain, Bounds(LARGEST), gzipped=packed, of_image=False)
    elif is_wanted(Kind.ADAPTER, file.name):
        os.link(file, plain / file.name)


def url_rules(environment: Mapping[str, str]) -> UrlRules:
    """What may be fetched, by the settings of the cluster's owner. Raises AdapterError where they make no sense."""
    texts = [text.strip() for text in environment.get(NETWORKS_ENV, "").split(",") if text.strip()]
    try:
        networks = tuple(ipaddress.ip_network(text) for text in texts)
    except ValueError as error:
        raise AdapterError(f"{NETWORKS_ENV} cannot be read: {error}.") from None
    plain = environment.get(PLAIN_HTTP_ENV, "").lower() == "true"
    return UrlRules(bytes=LARGEST, seconds=3600.0, plain_http=plain, networks=networks)


def forget(adapter: Adapter, home: Path) -> None:
    """Have addresses asked anew the next time: what came from them is no adapter."""
    shutil.rmtree(_downloads(adapter, home), ignore_errors=True)


def _downloads(adapter: Adapter, home: Path) -> Path:
    """Each adapter has its own: two of the same addresses may be fetched at the same time."""
    return home / "urls" / adapter.name / hashlib.sha256("\n".join(adapter.urls).encode()).hexdigest()[:16]
