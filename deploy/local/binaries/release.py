"""Downloads the official release binaries and checks them against the published SHA-256 sums."""

import hashlib
import platform
import tarfile
from pathlib import Path

import aiohttp
from pydantic import BaseModel, ConfigDict

from deploy.local.binaries.folders import made_whole
from deploy.local.binaries.model import NAMES, Binaries, Progress

VERSION = "1.34.2"
ETCD_VERSION = "3.6.5"

_TIMEOUT = aiohttp.ClientTimeout(total=900, connect=5, sock_connect=5, sock_read=30)
_CHUNK = 1024 * 1024
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class ReleaseError(Exception):
    """The release cannot be had from here; another way is worth a try."""


class ReleaseSites(BaseModel):
    """Where the releases are published."""

    model_config = ConfigDict(frozen=True)

    kubernetes: str = "https://dl.k8s.io/release"
    etcd: str = "https://github.com/etcd-io/etcd/releases/download"


async def download_release(cache: Path, progress: Progress, sites: ReleaseSites | None = None) -> Binaries:
    """Download all four into `cache`/v1.34.2. Raises ReleaseError, and then leaves nothing behind.

    An address that does not answer is given up after 5 seconds. Nothing is kept that does not have the
    checksum that its publisher gives.
    """
    architecture = _ARCHITECTURES.get(platform.machine())
    if architecture is None:
        raise ReleaseError(f"no release is published for this processor ({platform.machine()})")
    target = cache / f"v{VERSION}"
    try:
        # trust_env: through the proxy that the user's environment names, if it names one.
        async with aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=True) as session:
            with made_whole(target) as draft:
                await _Download(session, draft, architecture, progress).all(sites or ReleaseSites())
    except (aiohttp.ClientError, TimeoutError, OSError, tarfile.TarError) as error:
        raise ReleaseError(str(error) or "no answer in time") from error
    return Binaries.in_folder(target)


class _Download:
    """One download of everything into one folder."""

    def __init__(self, session: aiohttp.ClientSession, folder: Path, architecture: str, progress: Progress) -> None:
        self._session = session
        self._folder = folder
        self._architecture = architecture
        self._progress = progress

    async def all(self, sites: ReleaseSites) -> None:
        base = f"{sites.kubernetes}/v{VERSION}/bin/linux/{self._architecture}"
        for name in NAMES:
            if name == "etcd":
                await self._etcd(f"{sites.etcd}/v{ETCD_VERSION}")
            else:
                expected = (await self._text(f"{base}/{name}.sha256")).strip()
                await self._file(f"{base}/{name}", self._folder / name, expected)
            (self._folder / name).chmod(0o755)

    async def _etcd(self, base: str) -> None:
        stem = f"etcd-v{ETCD_VERSION}-linux-{self._architecture}"
        archive = self._folder / f"{stem}.tar.gz"
        sums = await self._text(f"{base}/SHA256SUMS")
        expected = {name: digest for digest, name in (line.split() for line in sums.splitlines() if line)}
        await self._file(f"{base}/{archive.name}", archive, expected.get(archive.name, ""))
        _extract(archive, f"{stem}/etcd", self._folder / "etcd")
        archive.unlink()

    async def _text(self, url: str) -> str:
        async with self._session.get(url, raise_for_status=True) as response:
            return await response.text()

    async def _file(self, url: str, path: Path, sha256: str) -> None:
        digest = hashlib.sha256()
        async with self._session.get(url, raise_for_status=True) as response:
            self._progress(f"downloading {path.name} ({(response.content_length or 0) / 1e6:.0f} MB)")
            with path.open("wb") as file:
                async for chunk in response.content.iter_chunked(_CHUNK):
                    digest.update(chunk)
                    file.write(chunk)
        if digest.hexdigest() != sha256:
            raise ReleaseError(f"{url} does not have the checksum that is published for it")


def _extract(archive: Path, member: str, path: Path) -> None:
    with tarfile.open(archive) as tar:
        source = tar.extractfile(member)
        if source is None:
            raise ReleaseError(f"{archive.name} has no file {member}")
        path.write_bytes(source.read())
