"""What the tests of the registry's client share: registries, a model's folder, and clients."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from services.inference.oci.client import Registry
from services.inference.oci.names import Kind
from services.inference.oci.patience import Patience
from services.inference.oci.pull import pull
from services.inference.oci.reference import parse_reference
from services.inference.oci.store import Store
from tests.registry.binary import registry_binary
from tests.registry.server import RegistryServer

Make = Callable[..., RegistryServer]
LARGE = 24 * 2**20
HASTY = Patience(tries=3, first=0.05, longest=0.1)


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Starts registries, and ends them."""
    binary = await registry_binary()
    started: list[RegistryServer] = []

    def one(name: str = "registry", **options: object) -> RegistryServer:
        server = RegistryServer(binary, tmp_path / name, **options)  # type: ignore[arg-type]
        started.append(server.start())
        return server

    yield one
    for server in started:
        server.kill()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder as the hub has them: two files of weights, small files, and one that is none of our business."""
    folder = tmp_path / "model"
    folder.mkdir()
    for number in (1, 2):
        (folder / f"model-0000{number}-of-00002.safetensors").write_bytes(os.urandom(LARGE))
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text('{"a": 1}')
    (folder / "training.py").write_text("print()")
    return folder


def files(folder: Path) -> dict[str, str]:
    """The digest of each file."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in found}


def registry(server: RegistryServer, name: str = "team/model:v1", **options: object) -> Registry:
    """A client of that registry."""
    known = options.pop("credentials", None)
    return Registry(parse_reference(f"{server.host}/{name}"), known, **options)  # type: ignore[arg-type]


def pulled(client: Registry, tmp_path: Path, **options: object) -> Path:
    """Where the files are that were pulled."""
    into = tmp_path / "into" / "model"
    pull(client, Kind.MODEL, into, Store(tmp_path / "store"), patience=HASTY, **options)  # type: ignore[arg-type]
    return into
