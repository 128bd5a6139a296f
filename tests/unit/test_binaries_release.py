"""Downloads against a server that publishes a release the way the official sites do."""

import hashlib
import io
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from deploy.local.binaries import Binaries
from deploy.local.binaries.model import NAMES
from deploy.local.binaries.release import (
    ETCD_VERSION,
    VERSION,
    ReleaseError,
    ReleaseSites,
    download_release,
)

STEM = f"etcd-v{ETCD_VERSION}-linux-amd64"


def archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        member = tarfile.TarInfo(f"{STEM}/etcd")
        member.size = 4
        tar.addfile(member, io.BytesIO(b"etcd"))
    return buffer.getvalue()


def published() -> dict[str, bytes]:
    base, etcd = f"/kubernetes/v{VERSION}/bin/linux/amd64", f"/etcd/v{ETCD_VERSION}"
    files = {f"{base}/{name}": name.encode() for name in NAMES if name != "etcd"}
    sums = {f"{path}.sha256": hashlib.sha256(content).hexdigest().encode() for path, content in files.items()}
    packed = archive()
    listed = f"{'0' * 64}  other.tar.gz\n{hashlib.sha256(packed).hexdigest()}  {STEM}.tar.gz\n"
    return files | sums | {f"{etcd}/SHA256SUMS": listed.encode(), f"{etcd}/{STEM}.tar.gz": packed}


@pytest.fixture
def files() -> dict[str, bytes]:
    return published()


@pytest.fixture
async def sites(files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ReleaseSites]:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")

    async def serve(request: web.Request) -> web.Response:
        content = files.get(request.path)
        return web.Response(body=content) if content is not None else web.Response(status=404)

    app = web.Application()
    app.router.add_get("/{path:.*}", serve)
    async with TestServer(app) as server:
        yield ReleaseSites(kubernetes=str(server.make_url("/kubernetes")), etcd=str(server.make_url("/etcd")))


async def test_a_release_is_downloaded_whole(sites: ReleaseSites, tmp_path: Path) -> None:
    said: list[str] = []
    binaries = await download_release(tmp_path, said.append, sites)
    assert binaries == Binaries.in_folder(tmp_path / f"v{VERSION}")
    assert {path.name: path.read_text() for path in (tmp_path / f"v{VERSION}").iterdir()} == {n: n for n in NAMES}
    assert all(path.stat().st_mode & 0o111 for path in (tmp_path / f"v{VERSION}").iterdir())
    assert len(said) == 4


@pytest.mark.parametrize("changed", ["kube-scheduler", f"{STEM}.tar.gz"])
async def test_a_wrong_checksum_leaves_nothing(
    files: dict[str, bytes], sites: ReleaseSites, tmp_path: Path, changed: str
) -> None:
    path = next(path for path in files if path.endswith(changed))
    files[path] += b"x"
    with pytest.raises(ReleaseError, match=f"{changed} does not have the checksum"):
        await download_release(tmp_path, lambda _: None, sites)
    assert list(tmp_path.iterdir()) == []


async def test_a_site_without_the_release_is_an_error_to_go_on_from(
    files: dict[str, bytes], sites: ReleaseSites, tmp_path: Path
) -> None:
    files.clear()
    with pytest.raises(ReleaseError, match="404"):
        await download_release(tmp_path, lambda _: None, sites)


async def test_a_site_that_refuses_is_an_error_to_go_on_from(tmp_path: Path) -> None:
    nobody = ReleaseSites(kubernetes="http://127.0.0.1:9", etcd="http://127.0.0.1:9")
    with pytest.raises(ReleaseError, match=r"127\.0\.0\.1:9"):
        await download_release(tmp_path, lambda _: None, nobody)
    assert list(tmp_path.iterdir()) == []
